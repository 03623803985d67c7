"""The core as a recurrent policy in TorchRL: REINFORCE on the recall task of recall_rl.py.

pip install torchrl
python examples/torchrl_policy.py
"""

import argparse

import torch
from torch import Tensor, nn

from relational_rnn import RelationalMemory


class ZeroStateMemory(nn.Module):
    """A core in TorchRL's convention: its state is zero at first, and `is_init` marks new episodes.

    The state is the memory minus the initial memory.

    Args:
        core: of one layer, with ``batch_first=True``.
    """

    def __init__(self, core: RelationalMemory) -> None:
        super().__init__()
        if not core.batch_first or core.num_layers > 1:
            raise ValueError("core must be of one layer and have batch_first=True")
        self.core = core

    def forward(self, inputs: Tensor, state: Tensor, is_init: Tensor) -> tuple[Tensor, Tensor]:
        """One step of a rollout, or a sequence for training.

        Args:
            inputs: ``[B, I]``, ``[I]``, or ``[B, T, I]`` for a sequence.
            state: before each step, ``[..., N, M]``; of a sequence only the first is read.
            is_init: ``[..., 1]`` bool, whether an episode begins with the step.

        Returns:
            The output ``[..., N * M]`` and the state after each step, ``[..., N, M]``.
        """
        initial = self.core.initial_state(1)[0]  # [N, M]
        if inputs.dim() < 3:
            memory = initial + state * ~is_init.unsqueeze(-1)
            output, memory = self.core(inputs.unsqueeze(-2), memory)
            return output.squeeze(-2), memory - initial
        output, _ = self.core(inputs, initial + state[:, 0], reset=is_init.squeeze(-1))
        return output, output.unflatten(-1, initial.shape) - initial


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rollouts", type=int, default=60)
    options = parser.parse_args()

    from recall_rl import SYMBOLS, Recall  # needs gymnasium
    from tensordict.nn import ProbabilisticTensorDictModule, TensorDictModule, TensorDictSequential
    from torchrl.data import Unbounded
    from torchrl.envs import GymWrapper, InitTracker, SerialEnv, TensorDictPrimer, TransformedEnv

    torch.manual_seed(1)
    core = RelationalMemory(9, mem_slots=4, head_size=16, num_heads=2, batch_first=True)
    keys = ["observation", "memory", "is_init"]
    memory = TensorDictModule(ZeroStateMemory(core), keys, ["features", ("next", "memory")])
    actor = TensorDictModule(nn.Linear(core.output_size, SYMBOLS), ["features"], ["logits"])
    choice = ProbabilisticTensorDictModule(
        ["logits"], ["action"], distribution_class=torch.distributions.Categorical
    )
    policy = TensorDictSequential(memory, actor, choice)
    world = TransformedEnv(
        SerialEnv(32, lambda: GymWrapper(Recall(), categorical_action_encoding=True))
    )
    world.append_transform(InitTracker())
    zeros = Unbounded(core.state_shape)  # of each environment
    world.append_transform(TensorDictPrimer(memory=zeros, expand_specs=True))
    optimizer = torch.optim.Adam(policy.parameters(), lr=3e-3)
    for number in range(1, options.rollouts + 1):
        with torch.no_grad():
            played = world.rollout(64, policy, break_when_any_done=False)  # [B, T]
        again = actor(memory(played.clone()))  # all steps at once, the same features
        torch.testing.assert_close(again["features"], played["features"], atol=1e-4, rtol=1e-4)
        asked = played["next", "done"][..., 0]
        reward = played["next", "reward"][..., 0][asked]
        chosen = torch.distributions.Categorical(logits=again["logits"][asked])
        gain = (reward - reward.mean()) * chosen.log_prob(played["action"][asked])
        loss = -gain.mean() - 0.01 * chosen.entropy().mean()
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(policy.parameters(), 0.5)
        optimizer.step()
        if number % 10 == 0 or number == options.rollouts:
            print(f"rollout {number}: right answers {reward.mean().item():.1%}")


if __name__ == "__main__":
    main()
