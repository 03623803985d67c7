"""Reinforcement learning with a memory: PPO on a recall task, an RMC beside an LSTM.

Some cues are shown, each a position and a symbol. Distractors follow, then a question: which symbol
was at this position? The answer is the only action that counts. A policy without memory is right
once in as many times as there are symbols.

    python examples/recall_rl.py --output results/rl
"""

import argparse
import json
import time
from pathlib import Path

import gymnasium
import numpy as np
import torch
from matplotlib.figure import Figure
from torch import Tensor, nn

from relational_rnn import RelationalMemory

POSITIONS, SYMBOLS, DELAY = 2, 4, (2, 6)
ENVIRONMENTS, ROLLOUT, EPOCHS, PARTS = 32, 64, 4, 4
DISCOUNT, TRACE, CLIP, ENTROPY = 0.0, 0.95, 0.2, 0.01  # the reward follows its action at once


class Recall(gymnasium.Env):
    """Observation: phase (cue, distractor, question), position and symbol, each one-hot."""

    observation_space = gymnasium.spaces.Box(0, 1, (3 + POSITIONS + SYMBOLS,), np.float32)
    action_space = gymnasium.spaces.Discrete(SYMBOLS)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        draw = self.np_random.integers
        cues = [(0, p, draw(SYMBOLS)) for p in self.np_random.permutation(POSITIONS)]
        distractors = [
            (1, draw(POSITIONS), draw(SYMBOLS)) for _ in range(draw(*DELAY, endpoint=True))
        ]
        asked = cues[draw(POSITIONS)]
        self.answer = asked[2]
        self.events = [*cues, *distractors, (2, asked[1], None)]
        return self._see(), {}

    def step(self, action):
        if self.events:
            return self._see(), 0.0, False, False, {}
        return (
            np.zeros(3 + POSITIONS + SYMBOLS, np.float32),
            float(action == self.answer),
            True,
            False,
            {},
        )

    def _see(self):
        phase, position, symbol = self.events.pop(0)
        seen = np.zeros(3 + POSITIONS + SYMBOLS, np.float32)
        seen[[phase, 3 + position]] = 1
        if symbol is not None:
            seen[3 + POSITIONS + symbol] = 1
        return seen


class LSTM(nn.Module):
    """`nn.LSTMCell` over a sequence with resets; state ``[B, 2, H]``."""

    def __init__(self, input_size: int, hidden_size: int) -> None:
        super().__init__()
        self.cell = nn.LSTMCell(input_size, hidden_size)
        self.output_size = hidden_size

    def initial_state(self, batch_size: int) -> Tensor:
        return torch.zeros(batch_size, 2, self.output_size)

    def forward(self, inputs: Tensor, state: Tensor, *, reset: Tensor) -> tuple[Tensor, Tensor]:
        outputs = []
        for step, anew in zip(inputs, reset):
            h, c = (state * ~anew[:, None, None]).unbind(1)
            state = torch.stack(self.cell(step, (h, c)), dim=1)
            outputs.append(state[:, 0])
        return torch.stack(outputs), state


class Policy(nn.Module):
    """Encoder -> core -> logits of the actions, and the value."""

    def __init__(self, core: str) -> None:
        super().__init__()
        self.encoder = nn.Sequential(nn.Linear(3 + POSITIONS + SYMBOLS, 32), nn.ReLU())
        if core == "rmc":
            self.core = RelationalMemory(32, mem_slots=4, head_size=16, num_heads=2)
        else:
            self.core = LSTM(32, 40)  # as many weights
        self.actor = nn.Linear(self.core.output_size, SYMBOLS)
        self.critic = nn.Linear(self.core.output_size, 1)

    def forward(self, seen: Tensor, memory: Tensor, reset: Tensor):
        """From ``[T, B, ...]``: a distribution over actions, values ``[T, B]`` and the memory."""
        output, memory = self.core(self.encoder(seen), memory, reset=reset)
        actions = torch.distributions.Categorical(logits=self.actor(output))
        return actions, self.critic(output).squeeze(-1), memory


def train(core: str, seed: int, steps: int) -> dict:
    """Train one policy; returns the curve: steps and success rate of the episodes that ended."""
    torch.manual_seed(seed)
    torch.set_num_threads(1)
    same_step = gymnasium.vector.AutoresetMode.SAME_STEP
    world = gymnasium.vector.SyncVectorEnv([Recall] * ENVIRONMENTS, autoreset_mode=same_step)
    policy = Policy(core)
    optimizer = torch.optim.Adam(policy.parameters(), lr=1e-3)
    seen = torch.from_numpy(world.reset(seed=seed)[0])
    memory = policy.core.initial_state(ENVIRONMENTS)
    ended = torch.zeros(ENVIRONMENTS, dtype=torch.bool)
    curve, start = [], time.process_time()
    for done_steps in range(0, steps, ENVIRONMENTS * ROLLOUT):
        first, rows = memory, []
        with torch.no_grad():
            for _ in range(ROLLOUT):
                actions, value, memory = policy(seen[None], memory, ended[None])
                action = actions.sample()[0]
                after, reward, over, _, _ = world.step(action.numpy())
                log = actions.log_prob(action[None])[0]
                rows.append((seen, ended, action, log, value[0], torch.from_numpy(reward).float()))
                seen, ended = torch.from_numpy(after), torch.from_numpy(over)
            last = policy(seen[None], memory, ended[None])[1][0]
        sights, resets, taken, logs, values, rewards = map(torch.stack, zip(*rows))
        overs = torch.cat([resets[1:], ended[None]])
        gains, gain, following = [], torch.zeros(ENVIRONMENTS), last
        for t in reversed(range(ROLLOUT)):  # generalised advantage estimation
            error = rewards[t] + DISCOUNT * following * ~overs[t] - values[t]
            gain = error + DISCOUNT * TRACE * gain * ~overs[t]
            gains.insert(0, gain)
            following = values[t]
        gains = torch.stack(gains)
        returns = gains + values
        gains = (gains - gains.mean()) / (gains.std() + 1e-8)
        for _ in range(EPOCHS):
            for part in torch.randperm(ENVIRONMENTS).chunk(PARTS):  # whole sequences
                actions, value, _ = policy(sights[:, part], first[part], resets[:, part])
                ratio = (actions.log_prob(taken[:, part]) - logs[:, part]).exp()
                gain = gains[:, part]
                surrogate = torch.minimum(ratio * gain, ratio.clamp(1 - CLIP, 1 + CLIP) * gain)
                error = (value - returns[:, part]).square()
                loss = (-surrogate + 0.5 * error - ENTROPY * actions.entropy()).mean()
                optimizer.zero_grad()
                loss.backward()
                nn.utils.clip_grad_norm_(policy.parameters(), 0.5)
                optimizer.step()
        success = (rewards[overs].sum() / overs.sum()).item()
        curve.append([done_steps + ENVIRONMENTS * ROLLOUT, success])
    parameters = sum(p.numel() for p in policy.parameters())
    seconds = time.process_time() - start
    return {
        "core": core,
        "seed": seed,
        "parameters": parameters,
        "seconds": seconds,
        "curve": curve,
    }


def draw(runs: list[dict]) -> Figure:
    """Success over steps, a line for each seed."""
    figure = Figure(figsize=(7, 4), layout="constrained")
    axes = figure.subplots()
    for core, colour in (("rmc", "#0072b2"), ("lstm", "#e69f00")):
        own = [run for run in runs if run["core"] == core]
        for run in own:
            steps, success = zip(*run["curve"])
            window = min(8, len(success))
            smooth = np.convolve(success, np.ones(window) / window, mode="valid")
            label = f"{core.upper()}, {run['parameters']:,} weights" if run is own[0] else None
            axes.plot(steps[len(steps) - len(smooth) :], smooth, color=colour, label=label)
    axes.axhline(1 / SYMBOLS, color="grey", linestyle=":", label="without memory")
    axes.set(xlabel="steps of all environments", ylabel="right answers", ylim=(0, 1))
    axes.legend(frameon=False)
    return figure


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=400_000, help="steps of all environments")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--output", type=Path, default=Path("results/rl"))
    options = parser.parse_args()
    runs = []
    for core in ("rmc", "lstm"):
        for seed in range(1, options.seeds + 1):
            runs.append(train(core, seed, options.steps))
            last = [success for _, success in runs[-1]["curve"][-10:]]
            print(f"{core} seed {seed}: success {np.mean(last):.1%}, {runs[-1]['seconds']:.0f} s")
    options.output.mkdir(parents=True, exist_ok=True)
    (options.output / "recall.json").write_text(json.dumps(runs) + "\n", encoding="utf-8")
    draw(runs).savefig(options.output / "recall.png", dpi=120)


if __name__ == "__main__":
    main()
