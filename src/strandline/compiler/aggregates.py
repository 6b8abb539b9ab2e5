"""Aggregate functions by name, for those the parser has no class for."""

AGGREGATE_NAMES = frozenset(
    """product bitstring_agg kurtosis kurtosis_pop mad entropy histogram histogram_exact fsum sumkahan kahan_sum
    favg first last any_value arbitrary arg_min arg_max arg_min_null arg_max_null argmin argmax max_by min_by
    list array_agg string_agg group_concat listagg quantile quantile_cont quantile_disc approx_quantile
    reservoir_quantile approx_count_distinct approx_top_k mode median sem skewness stddev_pop stddev_samp
    var_pop var_samp covar_pop covar_samp corr regr_avgx regr_avgy regr_count regr_intercept regr_r2
    regr_slope regr_sxx regr_sxy regr_syy bit_and bit_or bit_xor bool_and bool_or count count_if countif
    count_star sum sum_no_overflow avg mean min max variance stddev geomean geometric_mean
    weighted_avg wavg json_group_array json_group_object json_group_structure""".split()
)
