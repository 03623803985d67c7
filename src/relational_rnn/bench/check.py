"""The proof before the figures: a row computes what the reference computes.

The reference is eager code in float64 (the RMC's ``reference`` backend, the LSTM's other
implementation, the head's log-probabilities of all words). A row may be wrong by twice the error
of that same eager code in the row's own dtype, plus a little. The window is cut short for this.
"""

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace

import torch
from torch import Tensor, nn

from ..models.cores import Stack
from ..models.language_model import LanguageModel
from .plain import PlainModel
from .rows import CORES, MODELS, ROWS, Case
from .work import SEED, autocast, words

STEPS, BATCH_SIZE = 6, 8
SLACK = {"float32": 1e-5, "bfloat16": 1e-2}  # of a tensor's norm, for where eager code is exact
EAGER = {
    "rmc": {"model": "rmc", "backend": "reference"},
    "lstm": {"model": "lstm-loop"},
    "lstm-loop": {"model": "lstm"},
    "plain": {"model": "lstm-loop"},
}

Results = dict[str, Tensor]


def check(case: Case) -> None:
    """Whole model, and core where the row has one of its own.

    Raises:
        ArithmeticError: naming the tensor that is too far off.
    """
    check_model(case)
    if ROWS[case.row].model != "plain":
        check_core(case)


def check_core(case: Case) -> None:
    """Output, last state and gradients of the core.

    Raises:
        ArithmeticError: naming the tensor that is too far off.
    """
    row = ROWS[case.row]
    config = case.config(CORES)
    eager_case = _eager(case)
    torch.manual_seed(SEED)
    core = Stack(config, config.embedding_size).to(row.device)
    eager = Stack(eager_case.config(CORES), config.embedding_size).to(row.device)
    eager.load_state_dict(core.state_dict())
    inputs = torch.randn(STEPS, BATCH_SIZE, config.embedding_size, device=row.device)
    cotangent = torch.randn(STEPS, BATCH_SIZE, core.output_size, device=row.device)

    def run(module: Stack, precision: AbstractContextManager[object]) -> Results:
        dtype = next(module.parameters()).dtype
        x = inputs.to(dtype, copy=True).requires_grad_()
        with precision:
            output, state = module(x, module.initial_state(BATCH_SIZE))
        torch.autograd.backward((output.to(dtype) * cotangent.to(dtype)).sum())
        results = {"output": output, "gradient of inputs": x.grad}
        results |= {f"state {number}": tensor for number, tensor in enumerate(state)}
        return _taken(module, results)

    found, expected = run(core, autocast(case)), run(eager, autocast(case))
    _compare(found, expected, run(eager.double(), nullcontext()), case)


def check_model(case: Case) -> None:
    """Loss and gradients of the whole model, without dropout.

    Raises:
        ArithmeticError: naming the tensor that is too far off.
    """
    row = ROWS[case.row]
    sober = {"embedding_dropout": 0.0, "output_dropout": 0.0}
    config, eager_config = (_with(one, sober).config(MODELS) for one in (case, _eager(case)))
    torch.manual_seed(SEED)
    kind = PlainModel if row.model == "plain" else LanguageModel
    model: PlainModel | LanguageModel = kind(config, case.vocabulary_size).to(row.device)
    eager = LanguageModel(eager_config, case.vocabulary_size).to(row.device)
    eager.load_state_dict({ours(name): value for name, value in model.state_dict().items()})
    ids = words(case, steps=STEPS, batch_size=BATCH_SIZE).to(row.device)
    tokens, targets = ids[:-1], ids[1:]

    def own_loss() -> Tensor:
        return model.loss(tokens, targets, model.initial_state(BATCH_SIZE))[0]

    def all_logits() -> Tensor:
        hidden, _ = eager.features(tokens, eager.initial_state(BATCH_SIZE))
        each = eager.head.log_probabilities(hidden).gather(-1, targets[..., None])
        return -each.mean()

    def run(
        module: nn.Module, loss: Callable[[], Tensor], precision: AbstractContextManager[object]
    ) -> Results:
        with precision:
            value = loss()
        torch.autograd.backward(value)
        return _taken(module, {"loss": value})

    found = run(model, own_loss, autocast(case))
    expected = run(eager, all_logits, autocast(case))
    _compare(found, expected, run(eager.double(), all_logits, nullcontext()), case)


def ours(name: str) -> str:
    """Our name of a weight of `PlainModel`; other names stay."""
    for theirs, own in (("encoder", "embedding"), ("rnn", "core.layers.0"), ("decoder", "head")):
        name = name.replace(f"{theirs}.", f"{own}.")
    return name


def _eager(case: Case) -> Case:
    return _with(case, EAGER[ROWS[case.row].model])


def _with(case: Case, overrides: Mapping[str, object]) -> Case:
    return replace(case, overrides={**case.overrides, **overrides})


def _taken(module: nn.Module, results: dict[str, Tensor | None]) -> Results:
    """The results and the module's gradients, in float64; the gradients are taken off it."""
    gradients = {f"gradient of {ours(name)}": p.grad for name, p in module.named_parameters()}
    module.zero_grad()
    found = results | gradients
    return {name: value.detach().double() for name, value in found.items() if value is not None}


def _compare(ours: Results, eager: Results, exact: Results, case: Case) -> None:
    if ours.keys() != exact.keys():
        raise ArithmeticError(f"{case.row}: no result for {sorted(ours.keys() ^ exact.keys())}")
    for name, right in exact.items():
        slack = SLACK[ROWS[case.row].dtype] * right.norm()
        allowed = 2 * (eager[name] - right).norm() + slack
        error = (ours[name] - right).norm()
        if not error <= allowed:  # not "greater": NaN is wrong too
            raise ArithmeticError(
                f"{name} differs from the reference by {error:.2g}, {allowed:.2g} is allowed"
            )
