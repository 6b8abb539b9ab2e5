"""Cuts the algebra into stages at the stateful operators and chooses each one's strategy."""

from __future__ import annotations

from collections.abc import Set
from dataclasses import dataclass, field
from dataclasses import replace as evolve

from sqlglot import exp

from strandline.compiler import relations as r
from strandline.compiler.aggregate import aggregate_strategy
from strandline.compiler.binding import Lowered
from strandline.compiler.frames import reaches, seeded
from strandline.compiler.lookups import own_pairs, shown_outputs
from strandline.compiler.names import stage_table
from strandline.compiler.orders import is_total
from strandline.compiler.plan import Lookup, Output, Stage
from strandline.compiler.window import window_strategy


@dataclass
class Cutter:
    """Numbers the stages of one model and shares those that are used twice."""

    model: str
    stages: list[Stage] = field(default_factory=list)
    known: dict[r.Relation, Stage] = field(default_factory=dict)

    def cut(self, node: r.Relation) -> r.Relation:
        """The relation with every stateful operator replaced by a scan of its stage."""
        match node:
            case r.Scan() | r.Constant():
                return node
            case r.Aggregate() | r.Window() | r.TopK():
                return scan_of(self.stage(node), node)
            case r.Join() | r.SemiJoin():
                return evolve(node, left=self.cut(node.left), right=self.cut(node.right))
            case r.Union():
                return evolve(node, inputs=tuple(self.cut(i) for i in node.inputs))
            case _:
                return evolve(node, input=self.cut(node.input))

    def stage(self, node: r.Aggregate | r.Window | r.TopK) -> Stage:
        """The stage of a stateful operator, made once."""
        if node not in self.known:
            below = self.cut(node.input)
            operator = evolve(node, input=below)
            self.known[node] = self.add(operator, below)
        return self.known[node]

    def add(self, operator: r.Aggregate | r.Window | r.TopK | None, below: r.Relation) -> Stage:
        table = stage_table(self.model, len(self.stages) + 1)
        stage = choose(table, operator, below)
        self.stages.append(stage)
        return stage


def choose(table: str, operator: r.Aggregate | r.Window | r.TopK | None, below: r.Relation) -> Stage:
    """The stage with the cheapest strategy that is exact."""
    if isinstance(operator, r.Window):
        return window_strategy(table, operator, below)
    if isinstance(operator, r.Aggregate):
        return aggregate_strategy(table, operator, below)
    if isinstance(operator, r.TopK):
        reason = "the best rows per key are kept; a key is recomputed when one of them goes"
        return Stage(table, operator, below, "keyed", reason)
    return Stage(
        table, None, below, "stateless", "linear or bilinear: the change set alone gives the new rows"
    )


def scan_of(stage: Stage, node: r.Relation) -> r.Scan:
    """The stage's table, read under the operator's own column names."""
    unique = stage.ids if isinstance(node, r.Aggregate) else base_unique(stage)
    if isinstance(node, r.TopK) and node.limit == 1:
        unique = node.partition
    return r.Scan(stage.table, tuple((c, c) for c in stage.raw if c not in stage.unread), stage.ids, unique)


def cut(model: str, lowered: Lowered) -> tuple[tuple[Stage, ...], Output]:
    """All stages in order of evaluation, and how the model is read from the last."""
    cutter = Cutter(model)
    root = cutter.cut(lowered.node)
    fused = fuse(root, lowered, cutter.stages)
    if fused is not None:
        last, output = fused
        stages = tuple(last if s.table == last.table else s for s in cutter.stages)
        return stages, output
    last = cutter.add(None, root)
    return tuple(cutter.stages), Output(last.table, lowered.outputs, last.ids, unique_outputs(root, lowered))


def fuse(root: r.Relation, lowered: Lowered, stages: list[Stage]) -> tuple[Stage, Output] | None:
    """π(σ(S ⟕ lookups)) over the last stage S becomes part of S: computed when its rows are written."""
    project, node = (root, root.input) if isinstance(root, r.Project) else (None, root)
    where: list[exp.Expr] = []
    while isinstance(node, r.Filter):
        where.append(node.predicate)
        node = node.input
    lookups: list[Lookup] = []
    while isinstance(node, r.Join) and node.kind == "left" and r.stored_lookup(node):
        assert isinstance(node.right, r.Scan)
        assert node.on is not None
        lookups.insert(0, Lookup(node.right, node.on))
        node = node.left
    if not isinstance(node, r.Scan) or not stages or node.table != stages[-1].table:
        return None
    if any(node.table in s.reads for s in stages) or any(look.scan.table == node.table for look in lookups):
        return None
    stage = stages[-1]
    if lookups and not isinstance(stage.operator, r.Window):
        return None
    if not all(own_pairs(stage, look) for look in lookups):
        return None  # a lookup through another one: which stored rows it feeds is told by a join alone
    predicate = exp.and_(*where) if where else None
    if predicate is not None and not r.references(predicate) <= set(stage.raw):
        return None
    wanted = {c for _, c in lowered.outputs}
    post = tuple(o for o in project.outs if o.name in wanted) if project is not None else ()
    if lookups and project is None:
        return None
    stage = evolve(stage, post=post, lookups=tuple(lookups))
    read = wanted | {o.source or "" for o in post} | r.references(predicate)
    stage = evolve(stage, unread=unread(stage, read))
    return stage, output_of(stage, lowered, predicate)


def unread(stage: Stage, read: Set[str]) -> frozenset[str]:
    """Functions that only expressions stored beside them use, and that can be evaluated over any few rows.

    Their values are needed in the head alone.
    """
    if not isinstance(stage.operator, r.Window):
        return frozenset()
    again = [o.expr for o in shown_outputs(stage)] + [look.on for look in stage.lookups]
    used = frozenset(read).union(*(r.references(e) for e in again))
    known = reaches(stage.operator, is_total(stage.operator, stage.input))
    return frozenset(o.name for o in stage.operator.computed) - used - seeded(known)


def output_of(stage: Stage, lowered: Lowered, where: exp.Expr | None) -> Output:
    """The model's columns as stored columns of the stage; renames cost nothing."""
    stored = {o.name: o.source if o.source in stage.raw else o.name for o in stage.post}
    columns = tuple((name, stored.get(c) or c) for name, c in lowered.outputs)
    places = {c: name for name, c in reversed(columns)}
    known = stage.ids if isinstance(stage.operator, r.Aggregate) and stage.ids else base_unique(stage)
    unique = tuple(places[i] for i in known) if known and all(i in places for i in known) else ()
    return Output(stage.table, columns, stage.ids, unique, where)


def base_unique(stage: Stage) -> tuple[str, ...]:
    """The input's key, where the input is one keyed table under filters, projections and lookups."""
    names: dict[str, str] | None = None
    node = stage.input
    while isinstance(node, (r.Filter, r.Project)) or (isinstance(node, r.Join) and r.lookup(node)):
        if isinstance(node, r.Project):
            back = {o.source: o.name for o in reversed(node.outs) if o.source is not None}
            names = {
                k: v if names is None else names[v] for k, v in back.items() if names is None or v in names
            }
        node = node.left if isinstance(node, r.Join) else node.input
    if not isinstance(node, r.Scan) or not node.unique:
        return ()
    found = [u if names is None else names.get(u, "") for u in node.unique]
    return tuple(found) if set(found) <= set(stage.raw) else ()


def unique_outputs(root: r.Relation, lowered: Lowered) -> tuple[str, ...]:
    """The output columns known to be unique in a plan that ends in a projection or join."""
    places = {c: name for name, c in reversed(lowered.outputs)}
    stage = Stage("", None, root, "stateless", "")
    found = base_unique(stage)
    return tuple(places[f] for f in found) if found and all(f in places for f in found) else ()
