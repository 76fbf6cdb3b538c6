"""Small changes to a module's source that a test should notice.

The operators are the usual ones of the field: relational, logical and arithmetic operator replacement, constant
replacement, negation of a condition, deletion of a statement (Jia and Harman, "An Analysis and Survey of the
Development of Mutation Testing", IEEE TSE 37(5), 2011, section 2.1).
"""

import ast
from collections.abc import Iterator
from copy import deepcopy
from typing import NamedTuple

_SWAPS: dict[type[ast.AST], type[ast.AST]] = {
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
    ast.And: ast.Or,
    ast.Or: ast.And,
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.Div,
    ast.Div: ast.Mult,
    ast.LShift: ast.RShift,
    ast.RShift: ast.LShift,
    ast.Break: ast.Continue,
    ast.Continue: ast.Break,
}
_TWO_DIGITS = 10
_CALLS_OF_NO_EFFECT = frozenset({"debug", "info", "warning", "error", "cast"})


class Mutant(NamedTuple):
    """One change: the line that it is made at, what it does, and the whole source with it."""

    line: int
    what: str
    source: str


class _Place(NamedTuple):
    """A node to change, and what is done to it."""

    node: ast.AST
    what: str


def places(tree: ast.Module) -> Iterator[_Place]:
    """Every change that could be made to a module."""
    for node in _walk(tree):
        if isinstance(node, ast.Compare):
            yield _Place(node.ops[0], _swap(node.ops[0]))
        elif isinstance(node, ast.BoolOp | ast.BinOp | ast.AugAssign):
            if type(node.op) in _SWAPS:
                yield _Place(node.op, _swap(node.op))
        elif isinstance(node, ast.If | ast.While | ast.IfExp):
            yield _Place(node, "negate the condition")
        elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
            yield _Place(node, "drop `not`")
        elif isinstance(node, ast.Break | ast.Continue):
            yield _Place(node, _swap(node))
        elif isinstance(node, ast.Constant) and isinstance(node.value, bool | int | float):
            yield _Place(node, f"{node.value!r} becomes {_other(node.value)!r}")
        if _is_deletable(node):
            yield _Place(node, f"delete `{ast.unparse(node).splitlines()[0]}`")


def mutants(source: str) -> list[Mutant]:
    """Every mutant of a module's source."""
    tree = ast.parse(source)
    made = []
    for number, place in enumerate(places(tree)):
        copy = deepcopy(tree)
        line = _change(copy, number)
        made.append(Mutant(line, place.what, ast.unparse(copy) + "\n"))
    return made


def _walk(node: ast.AST) -> Iterator[ast.AST]:
    """Its nodes but annotations, decorators and what only names or explains."""
    yield node
    for field, value in ast.iter_fields(node):
        named_only = field in {"annotation", "returns", "decorator_list"}
        if named_only or (field == "keywords" and isinstance(node, ast.ClassDef)):
            continue
        for child in value if isinstance(value, list) else [value]:
            if isinstance(child, ast.Raise | ast.Assert | ast.Import | ast.ImportFrom):
                continue
            if isinstance(child, ast.AST):
                yield from _walk(child)


def _is_deletable(node: ast.AST) -> bool:
    if isinstance(node, ast.Expr) and isinstance(node.value, ast.Call):
        function = node.value.func
        name = function.attr if isinstance(function, ast.Attribute) else ""
        return name not in _CALLS_OF_NO_EFFECT
    if isinstance(node, ast.Assign):
        return isinstance(node.targets[0], ast.Attribute | ast.Subscript)
    return isinstance(node, ast.AugAssign | ast.Delete)


def _other(value: float) -> float:
    """One more; of a number of two digits and more twice as much, since one more may be as good a choice."""
    if isinstance(value, bool):
        return not value
    return value * 2 if abs(value) >= _TWO_DIGITS else value + 1


def _swap(node: ast.AST) -> str:
    return f"{type(node).__name__} becomes {_SWAPS[type(node)].__name__}"


def _change(tree: ast.Module, number: int) -> int:
    """Make one change in place; returns its line."""
    place = list(places(tree))[number]
    changed = _changed(place)
    for parent in ast.walk(tree):
        for field, value in ast.iter_fields(parent):
            if value is place.node:
                setattr(parent, field, changed)
                return _line(place.node, parent)
            if isinstance(value, list):
                for index, child in enumerate(value):
                    if child is place.node:
                        value[index] = changed
                        return _line(place.node, parent)
    raise AssertionError(place.what)


def _changed(place: _Place) -> ast.AST:
    node = place.node
    if place.what.startswith("delete "):
        return ast.copy_location(ast.Pass(), node)
    if isinstance(node, ast.If | ast.While | ast.IfExp):
        node.test = ast.UnaryOp(ast.Not(), node.test)
        return node
    if isinstance(node, ast.UnaryOp):
        return node.operand
    if isinstance(node, ast.Constant) and isinstance(node.value, bool | int | float):
        return ast.Constant(_other(node.value))
    return _SWAPS[type(node)]()


def _line(node: ast.AST, parent: ast.AST) -> int:
    line = getattr(node, "lineno", None) or getattr(parent, "lineno", 1)
    assert isinstance(line, int)
    return line
