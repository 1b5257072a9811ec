"""A strict reader of the PowerShell that Shunt writes: what it does not know is an error.

about_Parsing, about_Operators, about_Pipelines and about_Script_Blocks of Microsoft's documentation
say what is modelled: statements, pipelines, commands with parameters, script blocks, `if`, `for`,
`throw`, comparisons, members. A program is read as a whole before anything is done.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

Scope = dict[str, Any]
Code = Callable[[Scope], list[Any]]
Commands = Mapping[str, Callable[[Scope, list[Any], "Arguments"], list[Any]]]
_TOKEN = re.compile(
    r"""(?P<space>[ \t]+)|(?P<end>;|\n)|(?P<single>'(?:[^']|'')*')|(?P<double>"[^"]*")
    |(?P<open>@\(|@\{|[({])|(?P<close>[)}])|(?P<pipe>\|)|(?P<comma>,)|(?P<assign>=)
    |(?P<cast>\[\w+\])|(?P<variable>\$[\w:]+)|(?P<member>\.\w+)|(?P<postfix>--)
    |(?P<parameter>-[A-Za-z]\w*:?)|(?P<word>[^\s;(){}|,'"=]+)""",
    re.VERBOSE,
)
COMPARE: dict[str, Callable[[Any, Any], bool]] = {
    "-eq": lambda a, b: text(a).lower() == text(b).lower(),
    "-ne": lambda a, b: text(a).lower() != text(b).lower(),
    "-match": lambda a, b: bool(re.search(b, text(a), re.IGNORECASE)),
    "-notmatch": lambda a, b: not re.search(b, text(a), re.IGNORECASE),
    "-contains": lambda a, b: text(b) in map(text, listed(a)),
    "-notcontains": lambda a, b: text(b) not in map(text, listed(a)),
}


class ThrownError(Exception):
    """What `throw` throws, or a command that fails."""


class Arguments(dict[str, Any]):
    """The parameters of a command, by name; positional ones under their number."""


def text(value: Any) -> str:
    """Return a value as a string expands it."""
    return "" if value is None else str(value)


def listed(value: Any) -> list[Any]:
    """Return a value as a pipeline sees it."""
    if value is None:
        return []
    return value if isinstance(value, list) else [value]


def true(values: list[Any]) -> bool:
    """Tell whether what a pipeline gave counts as true, about_Booleans."""
    return len(values) > 1 or (len(values) == 1 and bool(values[0]))


def single(values: list[Any]) -> Any:
    """Return what a variable would hold of it."""
    return values[0] if len(values) == 1 else values or None


class _Reader:
    def __init__(self, source: str, commands: Commands) -> None:
        self.commands = commands
        self.tokens: list[tuple[str, str]] = []
        place = 0
        while place < len(source):
            found = _TOKEN.match(source, place)
            if found is None:
                raise SyntaxError(f"not understood: {source[place : place + 40]!r}")
            assert found.lastgroup is not None
            self.tokens.append((found.lastgroup, found[0]))
            place = found.end()
        self.place = 0

    def peek(self) -> tuple[str, str]:
        self.skip()
        return self.tokens[self.place] if self.place < len(self.tokens) else ("", "")

    def skip(self) -> None:
        while self.place < len(self.tokens) and self.tokens[self.place][0] == "space":
            self.place += 1

    def take(self, wanted: str | None = None) -> str:
        _, word = self.peek()
        if wanted is not None and word != wanted:
            raise SyntaxError(f"{wanted!r} is missing before {word!r}")
        self.place += 1
        return word

    # Statements.

    def block(self, end: str) -> Code:
        """Read statements up to `end`."""
        parts: list[Code] = []
        while self.peek()[1] != end:
            if self.peek()[0] == "end":
                self.take()
            else:
                parts.append(self.statement())
        if end:
            self.take(end)
        return lambda scope: [value for part in parts for value in part(scope)]

    def statement(self) -> Code:
        word = self.peek()[1]
        if word == "if":
            return self.conditional()
        if word == "for":
            return self.loop()
        if word == "throw":
            self.take()
            return _throw(self.pipeline())
        return self.pipeline()

    def conditional(self) -> Code:
        self.take("if")
        self.take("(")
        condition = self.block(")")
        self.take("{")
        then = self.block("}")
        other: Code = _nothing
        if self.peek()[1] == "else":
            self.take()
            self.take("{")
            other = self.block("}")
        return lambda scope: (then if true(condition(scope)) else other)(scope)

    def loop(self) -> Code:
        """for ($Left = N; CONDITION; $Left--) { ... }"""
        self.take("for")
        self.take("(")
        name = self.take()
        self.take("=")
        start = int(self.take())
        self.take(";")
        condition = self.expression()
        self.take(";")
        self.take(name)
        self.take("--")
        self.take(")")
        self.take("{")
        body = self.block("}")

        def run(scope: Scope) -> list[Any]:
            said: list[Any] = []
            scope[name] = start
            while condition(scope):
                said += body(scope)
                scope[name] -= 1
            return said

        return run

    def pipeline(self) -> Code:
        stages = [self.element()]
        while self.peek()[0] == "pipe":
            self.take()
            stages.append(self.element())

        def run(scope: Scope) -> list[Any]:
            given: list[Any] = []
            for number, stage in enumerate(stages):
                given = stage(scope, given if number else None)
            return given

        return run

    def element(self) -> Callable[[Scope, list[Any] | None], list[Any]]:
        kind, word = self.peek()
        if kind == "word" and not word[0].isdigit():
            return self.command()
        value = self.expression()
        return lambda scope, given: listed(value(scope)) if given is None else _no_input(word)

    def command(self) -> Callable[[Scope, list[Any] | None], list[Any]]:
        name = self.take()
        while self.peek()[0] == "member":  # devcon.exe
            name += self.take()
        done = self.commands.get(name)
        if done is None:
            raise SyntaxError(f"there is no command {name}")
        parameters: list[tuple[str, Callable[[Scope], Any]]] = []
        number = 0
        while self.peek()[0] not in {"", "end", "pipe", "close"}:
            kind, word = self.peek()
            if kind == "parameter":
                if word in COMPARE and number == 0:
                    raise SyntaxError(f"{name} has no parameter {word}")
                self.take()
                values = self.argument() if self.peek()[0] not in _NO_VALUE else _switch
                parameters.append((word.rstrip(":"), values))
            else:
                parameters.append((str(number), self.argument()))
                number += 1

        def run(scope: Scope, given: list[Any] | None) -> list[Any]:
            arguments = Arguments((key, value(scope)) for key, value in parameters)
            return done({**scope, "piped": given is not None}, given or [], arguments)

        return run

    def argument(self) -> Callable[[Scope], Any]:
        """Read the value of a parameter: words are strings, commas make lists."""
        values = [self.operand(bare=True)]
        while self.peek()[0] == "comma":
            self.take()
            values.append(self.operand(bare=True))
        if len(values) == 1:
            return values[0]
        return lambda scope: [value(scope) for value in values]

    # Expressions: -not binds closest, then comparisons, then -and and -or from left to right.

    def expression(self) -> Callable[[Scope], Any]:
        left = self.comparison()
        while self.peek()[1] in {"-and", "-or"}:
            left = _both(left, self.take(), self.comparison())
        return left

    def comparison(self) -> Callable[[Scope], Any]:
        left = self.operand()
        if self.peek()[1] in COMPARE:
            compare, right = COMPARE[self.take()], self.operand()
            first = left
            return lambda scope: compare(first(scope), right(scope))
        return left

    def operand(self, *, bare: bool = False) -> Callable[[Scope], Any]:
        kind, word = self.peek()
        if word == "-not":
            self.take()
            inner = self.operand()
            return lambda scope: not true(listed(inner(scope)))
        if kind == "cast":
            return self.cast()
        self.take()
        value = self.primary(kind, word, bare=bare)
        while self.place < len(self.tokens) and self.tokens[self.place][0] == "member":
            value = _member(value, self.take()[1:])
        return value

    def cast(self) -> Callable[[Scope], Any]:
        """[bool](...), and [string] of the one static member that is asked for."""
        if self.take() == "[bool]":
            inner = self.operand()
            return lambda scope: true(listed(inner(scope)))
        self.take("[Environment]")
        self.take("::OSVersion.Version")
        return lambda _: "10.0.20348.0"

    def primary(self, kind: str, word: str, *, bare: bool) -> Callable[[Scope], Any]:
        if word in {"(", "@("}:
            inner = self.block(")")
            return inner if word == "@(" else lambda scope: single(inner(scope))
        if word == "@{":
            return self.table()
        if word == "{":
            body = self.block("}")
            return lambda _: body
        if kind == "single":
            return lambda _: word[1:-1].replace("''", "'")
        if kind == "double":
            return lambda scope: _expanded(word[1:-1], scope)
        if kind == "variable":
            return lambda scope: scope[word]
        if kind == "word" and re.fullmatch(r"\d+", word):
            return lambda _: int(word)
        if kind in {"word", "parameter"} and bare:
            while self.place < len(self.tokens) and self.tokens[self.place][0] in {
                "word",
                "member",
            }:
                word += self.tokens[self.place][1]
                self.place += 1
            return lambda _: word
        raise SyntaxError(f"no value: {word!r}")

    def table(self) -> Callable[[Scope], Any]:
        """@{ name = value; ... }"""
        parts: list[tuple[str, Callable[[Scope], Any]]] = []
        while self.peek()[1] != "}":
            if self.peek()[0] == "end":
                self.take()
                continue
            name = self.take()
            self.take("=")
            parts.append((name, self.expression()))
        self.take("}")
        return lambda scope: {name: value(scope) for name, value in parts}


_NO_VALUE = {"", "end", "pipe", "close", "parameter"}


def _nothing(_: Scope) -> list[Any]:
    return []


def _switch(_: Scope) -> Any:
    return True


def _no_input(word: str) -> list[Any]:
    raise SyntaxError(f"{word!r} takes nothing from a pipeline")


def _throw(what: Code) -> Code:
    def run(scope: Scope) -> list[Any]:
        raise ThrownError(text(single(what(scope))))

    return run


def _both(
    left: Callable[[Scope], Any], word: str, right: Callable[[Scope], Any]
) -> Callable[[Scope], Any]:
    if word == "-and":
        return lambda scope: true(listed(left(scope))) and true(listed(right(scope)))
    return lambda scope: true(listed(left(scope))) or true(listed(right(scope)))


def _member(value: Callable[[Scope], Any], name: str) -> Callable[[Scope], Any]:
    def get(scope: Scope) -> Any:
        found = [row[name] for row in listed(value(scope))]
        return single(found)

    return get


def _expanded(quoted: str, scope: Scope) -> str:
    """Expand `$($_.Name)` and variables; `$env:windir` stays."""
    quoted = re.sub(r"\$\(\$_\.(\w+)\)", lambda m: text(scope["$_"][m[1]]), quoted)
    return re.sub(r"\$(?!env:)\w+", lambda m: text(scope[m[0]]), quoted)


def read(source: str, commands: Commands) -> Code:
    """Return a program.

    Raises:
        SyntaxError: Something of it is not understood.
    """
    return _Reader(source, commands).block("")


def each(rows: Sequence[Any], body: Code, scope: Scope) -> list[list[Any]]:
    """Return what a script block gives for each object, as `$_`."""
    return [body({**scope, "$_": row}) for row in rows]
