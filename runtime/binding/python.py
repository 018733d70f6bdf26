"""Binds secret references in Python as data, on the syntax tree, inside Pyodide and before any code of the step.

Same scheme as placeholder.ts: every reference becomes an identifier of its own length, so lines and columns stay, and
the values are put into the tree's constants. The tree's statements become the body of one async function, so that
`return` and `await` work at the top. What follows from that: top-level names are locals of that function (nested
functions, classes and comprehensions see them; `globals()` and code run by `exec` do not), `global x` reaches the
namespace that the code object is run in, annotations of top-level names are not evaluated, `import *` and `yield`
cannot stand at the top, and `from __future__` goes to the module around the function. SyntaxWarnings are silenced: they
would quote placeholders. Imports the standard library only, and keeps nothing between calls.
"""

import ast
import bisect
import io
import re
import tokenize
import warnings

_NAME = "[A-Za-z_][A-Za-z0-9_]{0,127}"
_REFERENCE = re.compile(rf"<<[ \t]*secrets\.({_NAME})[ \t]*>>|\{{\{{[ \t]*secrets\.({_NAME})[ \t]*\}}\}}")
_REFERENCES_MAX = 1_000
# CPython overflows WebAssembly's stack, which ends the interpreter, at a depth of about 1,200 in a shallow stack.
_DEPTH_MAX = 500
_DEEPENING = frozenset("+ - * / // % @ ** & | ^ << >> ~ . ( [ not await lambda if else elif".split())
_DEEPENING_TEXT = re.compile(r"[-+*/%@&|^~.(\[{]|<<|>>|\b(?:not|await|lambda|else|elif)\b")
_PREFIX = re.compile("_s[0-9a-f]{5}")
_ASYNC_GENERATOR_FLAG = 0x200


def analyze(source):
    """`{"references": [{name, line, column}]}`, those that count, or `{"error": {code, message, line?, column?}}`."""
    try:
        if _REFERENCE.search(source) is None:
            return {"references": []}
        code, parsed = _parse(source, "<step>")
        return {"references": [{"name": spot.name, **code.position(spot.start)} for spot in parsed.counted]}
    except _Problem as problem:
        return {"error": problem.report}


def bind(source, values, filename="<step>", name="<step>", parameters=()):
    """`{"code": code}`, a module whose run defines the async function `name(*parameters)`, or `{"error": …}`.

    `values` maps names of secrets to strings. The caller runs the code in a namespace and pops the function out of it.
    """
    try:
        code, parsed = _parse(source, filename)
        for spot in parsed.counted:
            if spot.name not in values:
                message = f'Cannot bind the secret "{spot.name}": it has no value here'
                raise _Problem("ERR_SECRET_UNKNOWN", message, code.position(spot.start))
        parsed.fill({spot.index: values[spot.name] for spot in parsed.counted})
        try:
            compiled = _compile(_module(parsed.tree, filename, name, parameters), filename)
        except Exception as error:
            raise _compile_problem(source, filename, name, parameters, error) from None
        _refuse_yield(compiled, parsed.tree, name, code)
        return {"code": compiled}
    except _Problem as problem:
        return {"error": problem.report}


class _Problem(Exception):
    def __init__(self, code, message, position=None):
        super().__init__(message)
        self.report = {"code": code, "message": message, **(position or {})}


class _Spot:
    """One textual reference: offsets in code points, its line, and its column in bytes as `ast` counts."""

    def __init__(self, index, match):
        self.index = index
        self.name = match[1] or match[2]
        self.text = match[0]
        self.start, self.end = match.span()
        self.identifier = ""
        self.place = (0, 0)


class _Code:
    """A step's text with the line ends that Python sees, and where things are in it."""

    def __init__(self, source):
        # Python's parser refuses the byte order mark in a str; columns of the first line still count it.
        self.mark = 1 if source.startswith("\ufeff") else 0
        self.text = source[self.mark :].replace("\r\n", "\n").replace("\r", "\n")
        self.lines = self.text.split("\n")
        self.starts = [0]
        for line in self.lines:
            self.starts.append(self.starts[-1] + len(line) + 1)
        self.spots = [_Spot(index, match) for index, match in enumerate(_REFERENCE.finditer(self.text))]
        for spot in self.spots:
            line = self.line_of(spot.start)
            before = self.text[self.starts[line - 1] : spot.start]
            spot.place = (line, len(before.encode("utf-8", "surrogatepass")))

    def line_of(self, offset):
        return bisect.bisect_right(self.starts, offset, 0, len(self.lines))

    def position(self, offset):
        """Line from 1, column from 1 in UTF-16 units."""
        line = self.line_of(offset)
        before = self.text[self.starts[line - 1] : offset]
        column = len(before.encode("utf-16-le", "surrogatepass")) // 2 + 1
        return {"line": line, "column": column + (self.mark if line == 1 else 0)}

    def offset(self, line, characters):
        line = min(max(line, 1), len(self.lines))
        return self.starts[line - 1] + min(max(characters, 0), len(self.lines[line - 1]))

    def offset_of_bytes(self, line, count):
        line = min(max(line, 1), len(self.lines))
        return self.offset(line, len(self.lines[line - 1].encode("utf-8")[:count].decode("utf-8", "ignore")))

    def substitute(self, taken):
        """The text with every reference replaced by an identifier whose prefix the text does not hold."""
        taken = taken.union(_PREFIX.findall(self.text))
        nonce = 0
        while (prefix := f"_s{nonce:05x}") in taken:
            nonce += 1
        pieces, copied = [], 0
        for spot in self.spots:
            spot.identifier = f"{prefix}{spot.index:03x}".ljust(spot.end - spot.start, "x")
            pieces += self.text[copied : spot.start], spot.identifier
            copied = spot.end
        return "".join([*pieces, self.text[copied:]]), prefix


def _parse(source, filename):
    code = _Code(source)
    if len(code.spots) > _REFERENCES_MAX:
        message = f"Cannot bind the step: {len(code.spots)} references of at most {_REFERENCES_MAX}"
        raise _Problem("ERR_REFERENCE_COUNT", message)
    if bad := re.search("[\0\ud800-\udfff]", code.text):
        what = "a NUL character" if bad[0] == "\0" else "half of a surrogate pair"
        raise _Problem("ERR_STEP_SYNTAX", f"Cannot parse the step: it holds {what}", code.position(bad.start()))
    taken = set()
    while True:
        text, prefix = code.substitute(taken)
        _refuse_depth(code, text)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                tree = ast.parse(text, filename)
        except SyntaxError as error:
            raise _parse_problem(code, text, error) from None
        except (MemoryError, RecursionError):
            raise _Problem("ERR_STEP_SYNTAX", "Cannot parse the step: it is nested too deeply") from None
        except ValueError:
            raise _Problem("ERR_STEP_SYNTAX", "Cannot parse the step: it holds a value Python cannot read") from None
        parsed = _Parsed(code, text, prefix, tree)
        if not parsed.spelled:
            return code, parsed
        taken |= parsed.spelled


class _Parsed:
    """A tree and where its references are: names to replace, and constants (or other texts) to fill in."""

    def __init__(self, code, text, prefix, tree):
        self.tree = tree
        self.placeholder = re.compile(prefix + "([0-9a-f]{3})x*")
        self.spots = code.spots
        self.names = {}  # index: (parent, field, position in a list or None)
        self.leaves = []  # (depth, node, field), each with a str or bytes that holds placeholders
        self.real = {}  # index: the greatest depth at which it occurs
        self.spelled = set()
        if self.spots:
            self._walk(prefix)
        missing = [spot for spot in self.spots if spot.index not in self.real]
        ignored = _in_comments(code, text, missing) if missing and not self.spelled else set()
        for spot in missing:
            if spot.index not in ignored and not self.spelled:
                raise _position_problem(code, spot)
        self.counted = [spot for spot in self.spots if spot.index in self.real]

    def _walk(self, prefix):
        places = {spot.place: spot for spot in self.spots}
        stack = [(self.tree, 0, None)]
        while stack:
            node, depth, span = stack.pop()
            if span is None and isinstance(node, (ast.JoinedStr, ast.TemplateStr)):
                span = _span(node)
            if isinstance(node, ast.Constant):
                self._add_leaf(node, "value", depth, span or _span(node), prefix)
                continue
            if isinstance(node, ast.Interpolation):
                self._add_leaf(node, "str", depth, span, prefix)
            for field in node._fields:
                value = getattr(node, field, None)
                for position, child in enumerate(value) if isinstance(value, list) else [(None, value)]:
                    if isinstance(child, ast.Name):
                        spot = places.get((child.lineno, child.col_offset))
                        if spot is None or child.id != spot.identifier or not _takes_value(node, field, child):
                            continue
                        self.names[spot.index] = (node, field, position)
                        self.real[spot.index] = max(depth + 1, self.real.get(spot.index, 0))
                    elif isinstance(child, ast.AST):
                        stack.append((child, depth + 1, span))

    def _add_leaf(self, node, field, depth, span, prefix):
        text = _as_text(getattr(node, field))
        if text is None or prefix not in text:
            return
        indexes = [index for index, _ in self._placeholders(text)]
        # A reference that is elsewhere, or here twice, is spelled out by escapes or by strings put together.
        inside = all(span[0] <= self.spots[index].place < span[1] for index in indexes)
        if not inside or len(set(indexes)) < len(indexes):
            self.spelled.update(_PREFIX.findall(text))
        self.leaves.append((depth, node, field))
        for index in indexes:
            self.real[index] = max(depth, self.real.get(index, 0))

    def _placeholders(self, text):
        for match in self.placeholder.finditer(text):
            index = int(match[1], 16)
            if index < len(self.spots) and match[0].startswith(self.spots[index].identifier):
                yield index, match.start()

    def fill(self, values):
        """Puts values (by index) into the tree."""
        for depth, node, field in self.leaves:
            old = getattr(node, field)
            text, filled, copied = _as_text(old), [], 0
            for index, start in self._placeholders(text):
                # The text of an expression (`f"{x=}"`, a template's Interpolation.str) lies above the expression
                # itself; it is source, so it shows the reference.
                shown = self.real[index] > depth
                filled += text[copied:start], self.spots[index].text if shown else values[index]
                copied = start + len(self.spots[index].identifier)
            new = "".join([*filled, text[copied:]])
            setattr(node, field, new if isinstance(old, str) else _as_bytes(filled, text[copied:]))
        for index, (parent, field, position) in self.names.items():
            old = getattr(parent, field)
            if position is None:
                setattr(parent, field, ast.copy_location(ast.Constant(values[index]), old))
            else:
                old[position] = ast.copy_location(ast.Constant(values[index]), old[position])


def _takes_value(parent, field, name):
    # A class pattern needs a name; everything else that loads a name takes any value.
    return isinstance(name.ctx, ast.Load) and not (isinstance(parent, ast.MatchClass) and field == "cls")


def _span(node):
    return (node.lineno, node.col_offset), (node.end_lineno, node.end_col_offset)


def _as_text(value):
    if isinstance(value, str):
        return value
    return value.decode("latin-1") if isinstance(value, bytes) else None


def _as_bytes(filled, rest):
    # Every second piece is a value; the others are bytes read as Latin-1.
    pieces = [piece.encode("utf-8" if odd % 2 else "latin-1") for odd, piece in enumerate(filled)]
    return b"".join([*pieces, rest.encode("latin-1")])


def _module(tree, filename, name, parameters):
    body, start = list(tree.body), 0
    if body and isinstance(body[0], ast.Expr) and isinstance(body[0].value, ast.Constant):
        start = 1
    end = start
    while end < len(body) and isinstance(body[end], ast.ImportFrom) and body[end].module == "__future__":
        end += 1
    future, body[start:end] = body[start:end], []
    at = {"lineno": 1, "col_offset": 0, "end_lineno": 1, "end_col_offset": 0}
    arguments = ast.arguments(args=[ast.arg(parameter, **at) for parameter in parameters])
    function = ast.AsyncFunctionDef(name, arguments, body or [ast.Pass(**at)], **at)
    return ast.Module([*future, function], [])


def _compile(module, filename):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return compile(module, filename, "exec", dont_inherit=True)


def _compile_problem(source, filename, name, parameters, error):
    """The error of compiling the same code with each reference's text as its value, so that it quotes no value."""
    code, parsed = _parse(source, filename)
    parsed.fill({spot.index: spot.text for spot in parsed.counted})
    message = "these values make it one that Python refuses"
    try:
        _compile(_module(parsed.tree, filename, name, parameters), filename)
    except SyntaxError as plain:
        error, message = plain, plain.msg
        if "import *" in message:
            message = "import * cannot stand in a step, whose code is the body of a function"
    except Exception:
        message = "it is nested too deeply" if isinstance(error, (MemoryError, RecursionError)) else message
    position = None
    if isinstance(error, SyntaxError) and error.lineno is not None:
        # Errors of the compiler count bytes, unlike those of the parser.
        position = code.position(code.offset_of_bytes(error.lineno, (error.offset or 1) - 1))
    return _Problem("ERR_STEP_SYNTAX", f"Cannot compile the step: {message}", position)


def _parse_problem(code, text, error):
    message = error.msg
    for spot in code.spots:
        message = message.replace(spot.identifier, spot.text)
    if error.lineno is None:
        return _Problem("ERR_STEP_SYNTAX", f"Cannot parse the step: {message}")
    start = code.offset(error.lineno, (error.offset or 1) - 1)
    end = code.offset(error.end_lineno or error.lineno, (error.end_offset or 0) - 1)
    if hit := next((spot for spot in code.spots if spot.start <= start < spot.end), None):
        # An error that only begins at the reference ("forgot a comma") is about more than the reference.
        if end <= hit.end:
            return _position_problem(code, hit)
    elif message.startswith("invalid syntax"):
        within = [spot for spot in code.spots if start < spot.start < end]
        words = {(token.string, code.offset(*token.start)) for token in _tokens(text)} if within else ()
        if hit := next((spot for spot in within if (spot.identifier, spot.start) in words), None):
            return _position_problem(code, hit)
    return _Problem("ERR_STEP_SYNTAX", f"Cannot parse the step: {message}", code.position(start))


def _position_problem(code, spot):
    what = f'Cannot bind the reference to secret "{spot.name}"'
    message = f"{what}: it is neither in a string nor an expression of its own"
    return _Problem("ERR_REFERENCE_POSITION", message, code.position(spot.start))


def _refuse_yield(compiled, tree, name, code):
    functions = [const for const in compiled.co_consts if getattr(const, "co_name", None) == name]
    if not any(function.co_flags & _ASYNC_GENERATOR_FLAG for function in functions):
        return
    stack, position = list(reversed(tree.body)), None
    while stack and position is None:
        node = stack.pop()
        if isinstance(node, ast.Yield):
            position = code.position(code.offset_of_bytes(node.lineno, node.col_offset))
        if not isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)):
            stack += reversed(list(ast.iter_child_nodes(node)))
    message = "Cannot compile the step: 'yield' outside function"
    raise _Problem("ERR_STEP_SYNTAX", message, position or {"line": 1, "column": 1})


def _tokens(text):
    """The tokens up to the first that cannot be read; the parser is the one to complain about that."""
    try:
        yield from tokenize.generate_tokens(io.StringIO(text).readline)
    except (tokenize.TokenError, SyntaxError):
        return


def _in_comments(code, text, spots):
    """The indexes of the spots that lie in comments."""
    found, waiting = set(), list(reversed(spots))
    for token in _tokens(text):
        if not waiting:
            break
        end = code.offset(*token.end)
        while waiting and waiting[-1].start < end:
            spot = waiting.pop()
            if token.type == tokenize.COMMENT and code.offset(*token.start) <= spot.start:
                found.add(spot.index)
    return found


def _refuse_depth(code, text):
    """Refuses code whose tree would be too deep for the interpreter: chains of operators, and of `elif`."""
    if len(_DEEPENING_TEXT.findall(text)) <= _DEPTH_MAX:
        return
    levels = [[0, 0]]  # of each open bracket: operators since the last comma, lambdas before their colon
    elifs = {}  # column: length of the chain
    opens_line = True
    for token in _tokens(text):
        word = token.string
        if token.type == tokenize.NEWLINE:
            levels, opens_line = [[0, 0]], True
        if token.type not in (tokenize.OP, tokenize.NAME):
            continue
        if opens_line:
            opens_line, column = False, token.start[1]
            goes_on = word in ("elif", "else")
            elifs = {at: count for at, count in elifs.items() if at < column or (at == column and goes_on)}
            elifs[column] = elifs.get(column, 0) + (word == "elif")
        level = levels[-1]
        if word in _DEEPENING:
            level[0] += 1
            level[1] += word == "lambda"
            if sum(count for count, _ in levels) + sum(elifs.values()) > _DEPTH_MAX:
                message = "Cannot parse the step: it is nested too deeply"
                raise _Problem("ERR_STEP_SYNTAX", message, code.position(code.offset(*token.start)))
        if word in ("(", "[", "{"):
            levels.append([int(word == "{"), 0])
        elif word in (")", "]", "}") and len(levels) > 1:
            levels.pop()
        elif word == ":" and level[1]:
            level[1] -= 1
        elif word in (",", ";") and not level[1]:
            level[0] = 0
