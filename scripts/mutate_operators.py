"""What `mutate.py` does to the code: small changes, each of which a good test would notice.

They are made in the syntax tree and written as a replacement of the text, so that a mutant differs in one place.  Not
touched: docstrings and other text, type annotations, decorators, imports, and what is raised.
"""

import ast
from collections.abc import Iterator
from copy import deepcopy
from dataclasses import dataclass
from typing import TypeVar

ARITHMETIC: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.Div,
    ast.Div: ast.Mult,
    ast.Pow: ast.Mult,
    ast.FloorDiv: ast.Mult,
    ast.Mod: ast.Add,
    ast.BitOr: ast.BitAnd,
    ast.BitAnd: ast.BitOr,
    ast.BitXor: ast.BitOr,
    ast.RShift: ast.LShift,
}
COMPARISONS: dict[type[ast.cmpop], type[ast.cmpop]] = {
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
}
METHODS = {"abs", "ceil", "clamp", "clip", "detach", "exp", "flip", "floor", "log", "mean", "round", "sqrt", "square"}
"""`x.clamp(…)` becomes `x`."""
FUNCTIONS = {"clipped", "dropout", "norm", "projected", "round8", "silu", "sorted"}
"""`silu(x)` becomes `x`."""
GUARDS = {"strict", "device", "encoding", "stacklevel"}
"""Keywords that are kept: only a fault elsewhere, or another machine, would show that they are gone."""
OF_MODULES = {"F", "math", "np", "nn", "torch"}
UNTOUCHED = (ast.Raise, ast.Import, ast.ImportFrom, ast.JoinedStr, ast.pattern)
NOT_RUN = {"annotation", "returns", "decorator_list", "type_params"}

Node = TypeVar("Node", bound=ast.AST)


@dataclass(frozen=True)
class Mutant:
    """One change: the text from `start` to `end`, in bytes, becomes `text`."""

    file: str
    line: int
    operator: str
    start: int
    end: int
    text: str

    def applied(self, source: bytes) -> bytes:
        """The changed file."""
        return source[: self.start] + self.text.encode() + source[self.end :]


def mutants(file: str, source: bytes) -> list[Mutant]:
    """All of a file's, in the order of the text."""
    starts = [0]
    for line in source.split(b"\n"):
        starts.append(starts[-1] + len(line) + 1)
    found: list[Mutant] = []
    for node, operator, text in _walk(ast.parse(source), None):
        start = starts[node.lineno - 1] + node.col_offset
        end = starts[(node.end_lineno or node.lineno) - 1] + (node.end_col_offset or 0)
        found.append(Mutant(file, node.lineno, operator, start, end, text))
    return sorted(set(found), key=lambda m: (m.start, m.end, m.text))


Change = tuple[ast.expr | ast.stmt, str, str]
"""What is replaced, the operator's name, and the new text."""


def _walk(node: ast.AST, function: ast.FunctionDef | None) -> Iterator[Change]:
    if isinstance(node, UNTOUCHED):
        return
    if isinstance(node, ast.FunctionDef):
        function = node
    if isinstance(node, ast.expr):
        yield from _expression(node)
    if isinstance(node, ast.stmt):
        yield from _statement(node, function)
    for name, value in ast.iter_fields(node):
        if name in NOT_RUN or (isinstance(node, ast.keyword) and node.arg in GUARDS):
            continue
        for child in value if isinstance(value, list) else [value]:
            if isinstance(child, ast.AST):
                yield from _walk(child, function)


def _expression(node: ast.expr) -> Iterator[Change]:
    match node:
        case ast.BinOp(op=op) if type(op) in ARITHMETIC:
            yield node, "arithmetic", _text(node, op=ARITHMETIC[type(op)]())
        case ast.Compare(ops=ops):
            for k, op in enumerate(ops):
                swapped = [*ops[:k], COMPARISONS[type(op)](), *ops[k + 1 :]]
                yield node, "comparison", _text(node, ops=swapped)
        case ast.BoolOp(op=op):
            yield node, "boolean", _text(node, op=ast.Or() if isinstance(op, ast.And) else ast.And())
        case ast.UnaryOp(op=ast.USub() | ast.Not(), operand=operand):
            yield node, "sign", f"({ast.unparse(operand)})"
        case ast.IfExp(test=test):
            yield node, "condition", _text(node, test=ast.UnaryOp(ast.Not(), test))
        case ast.Constant(value=bool() as value):
            yield node, "constant", str(not value)
        case ast.Constant(value=int() | float() as value):
            for other in {value + 1, value - 1, value * 2, 0} - {value}:
                yield node, "constant", f"({other!r})" if other < 0 else repr(other)
        case ast.Call():
            yield from _call(node)
        case _:
            pass


def _call(node: ast.Call) -> Iterator[Change]:
    positional = [a for a in node.args if not isinstance(a, ast.Starred)]
    name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
    of = ast.unparse(node.func.value) if isinstance(node.func, ast.Attribute) else ""
    if name in METHODS and of not in OF_MODULES and of:
        yield node, "call", of
    if (name in FUNCTIONS or (name in METHODS and of in OF_MODULES)) and positional:
        yield node, "call", f"({ast.unparse(positional[0])})"
    if name == "no_grad":
        yield node, "call", "torch.enable_grad()"
    if len(positional) == len(node.args) > 1 and ast.dump(node.args[0]) != ast.dump(node.args[1]):
        yield node, "arguments", _text(node, args=[node.args[1], node.args[0], *node.args[2:]], bare=True)
    for k in (k for k, keyword in enumerate(node.keywords) if keyword.arg not in GUARDS):
        yield node, "keyword", _text(node, keywords=[*node.keywords[:k], *node.keywords[k + 1 :]], bare=True)


def _statement(node: ast.stmt, function: ast.FunctionDef | None) -> Iterator[Change]:
    match node:
        case ast.If(test=test) | ast.While(test=test) if not isinstance(test, ast.Compare):
            yield test, "condition", f"(not ({ast.unparse(test)}))"
        case ast.Expr(value=ast.Call()):
            yield node, "statement", "pass"
        case ast.AugAssign(op=op) if type(op) in ARITHMETIC:
            yield node, "arithmetic", ast.unparse(_with(node, op=ARITHMETIC[type(op)]()))
        case ast.Return(value=ast.expr()) if function is not None:
            names = [a.arg for a in function.args.args if a.arg != "self"]
            if names and ast.unparse(node) != f"return {names[0]}":
                yield node, "return", f"return {names[0]}"
        case _:
            pass


def _with(node: Node, **changes: object) -> Node:
    """A copy with other fields."""
    copy = deepcopy(node)
    for name, value in changes.items():
        setattr(copy, name, value)
    return copy


def _text(node: ast.expr, *, bare: bool = False, **changes: object) -> str:
    text = ast.unparse(_with(node, **changes))
    return text if bare else f"({text})"
