"""Relations and plans as text that a reader can review."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from layout import laid_out, unquoted

from strandline.compiler import Plan, Stage, programs
from strandline.compiler import relations as r
from strandline.compiler.delta import sides
from strandline.compiler.text import Step, sql

if TYPE_CHECKING:
    from sqlglot import exp


EMPTY_ORDER = re.compile(r" OVER \((?:ORDER BY\s*)?\)")


def text(expr: exp.Expr | None) -> str:
    """An expression; a window's partition and order stand beside it, in its relation."""
    if expr is None:
        return "true"
    return EMPTY_ORDER.sub("", unquoted(sql(expr))).replace("OVER (ORDER BY  ", "OVER (")


def computed(outs: Iterable[r.Out]) -> str:
    """`name` where a column passes unchanged, else `name = expression`."""
    parts = [o.name if o.source == o.name else f"{o.name} = {text(o.expr)}" for o in outs]
    return ", ".join(parts) or "nothing"


def ordered(terms: Iterable[r.Order]) -> str:
    return ", ".join(unquoted(t.sql) for t in terms)


def tree(node: r.Relation, indent: int = 0) -> list[str]:
    """A relation a line, what it reads below it."""
    head, *more = described(node)
    lines = [" " * indent + head, *(" " * (indent + 4) + line for line in more)]
    for below in r.inputs(node):
        lines += tree(below, indent + 2)
    return lines


def described(node: r.Relation) -> list[str]:
    """What one relation does."""
    match node:
        case r.Scan():
            columns = [n if n == s else f"{n} = {s}" for n, s in node.columns]
            unique = f", unique {', '.join(node.unique)}" if node.unique else ""
            return [f"scan {node.table}: {', '.join(columns)} (ids {', '.join(node.ids)}{unique})"]
        case r.Constant():
            return [f"values {', '.join(node.names)}: {unquoted(node.sql)}"]
        case r.Unnest():
            padded = " padded" if node.padded else ""
            return [f"unnest{padded} {computed(node.lists)}; place {node.place}"]
        case r.Filter():
            return [f"filter {text(node.predicate)}"]
        case r.Project():
            return [f"project {computed(node.outs)} (ids {', '.join(node.ids)})"]
        case r.Join():
            once = " (a lookup)" if r.lookup(node) else ""
            return [f"{node.kind} join{once} on {text(node.on)}"]
        case r.SemiJoin():
            return [f"{'anti' if node.anti else 'semi'} join on {text(node.on)}"]
        case r.Union():
            return [f"union all {', '.join(node.names)} (ids {', '.join(node.ids)})"]
        case r.Aggregate():
            return [aggregate(node)]
        case r.Window():
            return window(node)
        case r.TopK():
            rows = f"rows {node.offset + 1} to {node.offset + node.limit if node.limit else 'the last'}"
            return [f"{rows} {each(node.partition)}order by {ordered(node.order)}"]


def aggregate(node: r.Aggregate) -> str:
    if not node.aggregates and node.grouped:
        return f"distinct {computed(node.groups)}"
    by = f"by {computed(node.groups)}" if node.grouped else "of all rows"
    return f"aggregate {by}: {computed(node.aggregates)}"


def window(node: r.Window) -> list[str]:
    ties = f", ties by {ordered(node.ties)}" if node.ties else ""
    order = f"order by {ordered(node.order)}{ties}" if node.order or node.ties else "in no order"
    lines = [f"window {each(node.partition)}{order}"]
    for number, level in enumerate(node.stack, 1):
        place = f"level {number}: " if node.levels else ""
        lines += [f"{place}{computed([o])}" for o in level.computed]
    return lines


def each(partition: tuple[str, ...]) -> str:
    return f"of each {', '.join(partition)} " if partition else ""


def plan_text(plan: Plan) -> str:
    """Stages in order of evaluation, and how the model is read."""
    lines = [line for stage in plan.stages for line in stage_lines(stage)]
    if plan.full_reason:
        lines = ["query (full)", f"  why      {plan.full_reason}"]
    out = plan.output
    shown = ", ".join(n if n == s else f"{n} = {s}" for n, s in out.columns)
    where = f" where {text(out.where)}" if out.where is not None else ""
    unique = f" (unique {', '.join(out.unique)})" if out.unique else ""
    return "\n".join([*lines, f"output from {out.table}: {shown}{where}{unique}"])


def stage_lines(stage: Stage) -> Iterator[str]:
    yield f"stage {stage.table}: {stage.name} ({stage.strategy})"
    yield f"  why      {stage.reason}"
    if stage.cheaper:
        yield f"  cheaper  {stage.cheaper}"
    if stage.back:
        strict = ", peers of its last row are late" if stage.strict else ""
        yield f"  head     the last {stage.back} of each partition, {stage.open} of them open{strict}"
    for near in stage.near:
        back, ahead = (
            f"{where} {offset}" if offset else ""
            for where, offset in (("back", near.back), ("ahead", near.ahead))
        )
        yield f"  near     {' '.join(part for part in (near.kind, back, ahead) if part)}"
    for look in stage.lookups:
        yield f"  lookup   {look.scan.table} on {text(look.on)}"
    if stage.stored_post:
        yield f"  computes {computed(stage.stored_post)}"
    yield f"  stores   {', '.join(programs.columns(stage))}"
    if stage.unread:
        yield f"  in head  alone: {', '.join(sorted(stage.unread))}"
    if stage.delicate:
        yield f"  delicate {', '.join(unquoted(' as '.join(pair)) for pair in stage.delicate)}"
    if stage.operator is not None:
        first, *more = described(stage.operator)
        yield f"  does     {first}"
        yield from (f"           {line}" for line in more)
    yield "  input"
    yield from tree(stage.input, 4)


def create_text(plan: Plan) -> str:
    """The statements that fill the stages."""
    return "\n\n".join(laid_out(s) for stage in plan.stages for s in programs.create(stage))


def refresh_text(plan: Plan, changed: frozenset[str]) -> str:
    """The program for a change of these sides; a stage that runs is taken to change both of its own."""
    parts = []
    for stage in plan.stages:
        if changed & sides(stage.reads):
            parts.append(f"-- stage {stage.table}")
            parts += [step_text(step) for step in programs.refresh(stage, changed)]
            changed |= sides([stage.table])
    return "\n\n".join(parts)


def step_text(step: Step) -> str:
    """The statement, under when it runs and what its count is."""
    if not step.sql:
        return f"-- {step.into}: rows are known to be there"
    either = [f"({w.replace('|', ' or ')})" if "|" in w else w.replace("!", "no ") for w in step.when]
    notes = [f"when {' and '.join(either)}"] if either else []
    if step.into is not None:
        less = step.into.startswith("-")
        notes.append(f"{'taken from' if less else 'counted as'} {step.into.removeprefix('-')}")
    return "\n".join([f"-- {', '.join(notes)}"] * bool(notes) + [laid_out(step.sql)])
