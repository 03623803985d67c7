import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from relational_rnn.errors import UserError
from relational_rnn.tasks.programs import GrammarError, evaluate

GOLDENS = Path(__file__).parents[1] / "goldens" / "lte"
PROGRAM_FILES = [
    path
    for path in sorted(GOLDENS.glob("*.jsonl"))
    if path.name.split("_len")[0] not in ("copy", "reverse", "double")
]


@pytest.mark.parametrize("path", PROGRAM_FILES, ids=lambda path: path.stem)
def test_golden_lines_agree(path: Path) -> None:
    samples = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    assert len(samples) >= 40
    for sample in samples:
        assert evaluate(sample["input"], sample["length"]) == sample["target"]


def test_golden_files_are_all_there() -> None:
    assert len(PROGRAM_FILES) == 15


def test_golden_batches_agree() -> None:
    batches = json.loads((GOLDENS / "batches.json").read_text(encoding="utf-8"))
    compared = 0
    for batch in batches.values():
        if batch["task"] in ("copy", "reverse", "double") or not batch["token_by_char"]:
            continue
        for text, target in zip(batch["inputs_text"], batch["targets_text"], strict=True):
            program = text.rstrip(".")
            assert evaluate(program, len(_first_literal(program))) == target.rstrip(".")
            compared += 1
    assert compared >= 48


def _first_literal(program: str) -> str:
    start = next(i for i, symbol in enumerate(program) if symbol.isdigit())
    end = start
    while end < len(program) and program[end].isdigit():
        end += 1
    return program[start:end]


@pytest.mark.timeout(30)
@pytest.mark.parametrize(
    ("program", "length", "answer"),
    [
        pytest.param("9" * 10**6 + "+2", 2, "1", id="sum"),
        pytest.param("(1" + "0" * 10**6 + "*" + "3" * 10**6 + ")+7", 2, "7", id="product"),
        pytest.param("1-" + "9" * 10**6, 2, "2", id="negative"),
        pytest.param("2if" + "8" * 10**6 + "<" + "9" * 10**6 + "else1", 2, "2", id="comparison"),
        pytest.param("x=1for[9]x+=" + "1" * 10**6, 10**6, "1" + "0" * 10**6, id="loop"),
        pytest.param("7", 10**7, "7", id="modulus"),
    ],
)
def test_a_million_digits(program: str, length: int, answer: str) -> None:
    assert evaluate(program, length) == answer


@pytest.mark.parametrize("program", ["0-0", "0*(0-1)", "1-1001", "(0-1)*1000"])
def test_there_is_no_negative_zero(program: str) -> None:
    assert evaluate(program, 2) == "0"


def test_a_length_too_long_to_write() -> None:
    with pytest.raises(ValueError, match="length must be at most 10,000,000, got 10000001"):
        evaluate("1", 10_000_001)


@pytest.mark.parametrize(
    ("program", "length", "answer"),
    [
        ("(65125+15306)+77013", 5, "157444"),
        ("7", 1, "7"),
        ("((7))", 1, "7"),
        ("((1+2))", 1, "3"),
        ("7-9", 1, "98"),
        ("1-5", 5, "999996"),
        ("99*99", 2, "801"),
        ("100-100", 3, "0"),
        ("1if2<3else4", 1, "1"),
        ("1if3<2else4", 1, "4"),
        ("1if3>2else4", 1, "1"),
        ("1if2>2else4", 1, "4"),
        ("1if2<2else4", 1, "4"),
        ("x=1for[9]x+=2", 1, "19"),
        ("x=(x=1for[2]x+=3)for[3]x+=(2*5)", 2, "37"),
        ("1if(2-9)<(1-5)else4", 1, "1"),
        ("1if2<3else(x=4for[1]x+=5)", 1, "1"),
        ("5-(3-(2-1))", 1, "3"),
        ("007+1", 3, "8"),
    ],
)
def test_examples(program: str, length: int, answer: str) -> None:
    assert evaluate(program, length=length) == answer


def test_needs_no_torch() -> None:
    code = (
        "import sys; from relational_rnn.tasks.programs import evaluate; "
        "print(evaluate('1+2', 1), {'torch', 'numpy'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "3 set()\n"


def test_inner_results_are_not_reduced() -> None:
    # 99 * 99 = 9801 is 801 modulo 1000, which would turn the comparison around.
    assert evaluate("1if(99*99)>900else2", 2) == "1"
    assert evaluate("1if(1-5)<0else2", 2) == "1"


def test_deep_nesting_does_not_exhaust_the_stack() -> None:
    depth = 20_000
    assert evaluate("(" * depth + "5" + ")" * depth, 2) == "5"
    assert evaluate("(" * depth + "5" + "+1)" * depth, 4) == "20005"
    assert evaluate("1+(" * depth + "5" + ")" * depth, 4) == "20005"
    with pytest.raises(GrammarError, match=r'found the end, expected "\)"'):
        evaluate("(" * depth + "5", 2)


def test_huge_literals_are_exact() -> None:
    assert evaluate("9" * 6000 + "+1", 6000) == "1" + "0" * 6000
    assert evaluate("9" * 6000 + "*2", 2) == "998"


@pytest.mark.parametrize(
    ("program", "message"),
    [
        ("", 'character 1, in \'\': found the end, expected "x=", a number or "("'),
        ("()", "character 2, in '()': found ')', expected \"x=\", a number or \"(\""),
        ("1+", "character 3, in '1+': found the end, expected a number or \"(\""),
        ("1+*3", "character 3, in '1+*3': found '*', expected a number or \"(\""),
        ("1+2+3", "character 4, in '1+2+3': found '+', expected the end of the program (put"),
        ("(1+2", "character 5, in '(1+2': found the end, expected \")\""),
        ("1+2)", "character 4, in '1+2)': found ')', expected the end of the program"),
        ("-4", "character 1, in '-4': found '-', expected \"x=\", a number"),
        ("4/2", 'character 2, in \'4/2\': found \'/\', expected "+", "-", "*", "if", ")" or'),
        ("1 + 2", "character 2, in '1 + 2': found ' '"),
        ("1if2=3else4", "character 5, in '1if2=3else4': found '=', expected \"<\" or \">\""),
        ("1if2<3", "character 7, in '1if2<3': found the end, expected \"else\""),
        ("x=1for[0]x+=2", "character 8, in 'x=1for[0]x+=2': found '0', expected a count from"),
        ("x=1for[]x+=2", "found ']', expected a count from 1 to 9"),
        ("x=1for[12]x+=2", "character 9, in 'x=1for[12]x+=2': found '2', expected \"]x+=\""),
        ("x=1+2", "found '+', expected \"for[\""),
        ("1+x=1for[2]x+=2", "character 3, in '1+x=1for[2]x+=2': found 'x', expected a number"),
        ("1+2\n", "character 4, in '1+2\\n': found '\\n'"),
        ("\u0663+1", "character 1"),
        ("1" * 50 + "/" + "2" * 50, f"character 51, in '...{'1' * 24}/{'2' * 23}...'"),
    ],
)
def test_outside_the_grammar_is_one_line(program: str, message: str) -> None:
    with pytest.raises(GrammarError) as caught:
        evaluate(program, 5)
    assert isinstance(caught.value, UserError)
    assert isinstance(caught.value, ValueError)
    line = str(caught.value)
    assert line.startswith("program: syntax error at character ")
    assert message in line
    assert len(line.splitlines()) == 1


@pytest.mark.parametrize("length", [0, -1, True, 2.5], ids=repr)
def test_bad_length(length: int) -> None:
    with pytest.raises(ValueError, match=f"length must be an integer of at least 1, got {length}"):
        evaluate("1+2", length)


@dataclass(frozen=True)
class Node:
    """An expression with its own evaluation, by recursion."""

    operator: str
    operands: tuple["Node | str", ...]
    choice: str
    brackets: int

    def text(self) -> str:
        a, *rest = [_operand_text(operand) for operand in self.operands]
        if self.operator == "if":
            text = f"{a}if{rest[0]}{'<>'[int(self.choice) % 2]}{rest[1]}else{rest[2]}"
        elif self.operator == "for":
            text = f"x={a}for[{self.choice}]x+={rest[0]}"
        else:
            text = a + self.operator + rest[0]
        return "(" * self.brackets + text + ")" * self.brackets

    def value(self) -> int:
        a, b, *rest = [
            int(operand) if isinstance(operand, str) else operand.value()
            for operand in self.operands
        ]
        match self.operator:
            case "+":
                return a + b
            case "-":
                return a - b
            case "*":
                return a * b
            case "if":
                holds = b > rest[0] if int(self.choice) % 2 else b < rest[0]
                return a if holds else rest[1]
            case _:
                for _ in range(int(self.choice)):
                    a += b
                return a


def _operand_text(operand: "Node | str") -> str:
    return operand if isinstance(operand, str) else f"({operand.text()})"


LITERALS = st.integers(0, 10**7).map(str)


def _nodes(children: st.SearchStrategy[Node | str]) -> st.SearchStrategy[Node]:
    def build(operator: str) -> st.SearchStrategy[Node]:
        count = 4 if operator == "if" else 2
        return st.builds(
            Node,
            st.just(operator),
            st.tuples(*[children] * count),
            st.sampled_from("123456789"),
            st.integers(0, 2),
        )

    return st.sampled_from(("+", "-", "*", "if", "for")).flatmap(build)


TREES = _nodes(st.recursive(LITERALS, _nodes, max_leaves=25))


@settings(derandomize=True, deadline=None, max_examples=150)
@given(tree=TREES, length=st.integers(1, 12))
def test_agrees_with_the_evaluation_of_a_tree(tree: Node, length: int) -> None:
    assert evaluate(tree.text(), length) == str(tree.value() % 10 ** (length + 1))


@settings(derandomize=True, deadline=None, max_examples=150)
@given(tree=TREES, data=st.data())
def test_a_damaged_program_is_refused_or_still_a_program(tree: Node, data: st.DataObject) -> None:
    text = tree.text()
    place = data.draw(st.integers(0, len(text) - 1))
    replacement = data.draw(st.sampled_from(["", "(", ")", "+", "x=", "if", "1", " ", "é"]))
    damaged = text[:place] + replacement + text[place + 1 :]
    outcome = _answer_or_mistake(damaged)
    assert outcome.isdigit() or outcome.startswith("program: syntax error")
    assert len(outcome.splitlines()) == 1


def _answer_or_mistake(program: str) -> str:
    try:
        return evaluate(program, 3)
    except GrammarError as error:
        return str(error)
