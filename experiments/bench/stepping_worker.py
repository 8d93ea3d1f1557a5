"""Steps environments of the tree in which it is started, one sample at a time, as it is told on standard input.

    PYTHONPATH=TREE python -P stepping_worker.py TREE

Run as a file of its own with trees of any age, so it leans on nothing but NumPy, Gymnasium and the name of the
environment. Each line of standard input is a JSON list ``[call, arguments ...]``, and each has one line as an answer:

============================  =========================================================================================
``make, key, suite, slots,``  makes and warms up an environment; ``null``, or ``{"problem": ...}`` where the tree has
``n_envs``                    no such environment; a suite of null stands for CartPole
``sample, key, seconds``      ``[environment steps, CPU seconds]`` of a sample of about that length
``drop, key``                 forgets it; ``null``
============================  =========================================================================================

It ends with its standard input, so with whoever started it.
"""

import json
import sys
import time

WARM_UP_STEPS = 60
BATCHES = 16


class Environment:
    """One vector environment and random actions for it, the same ones in every tree."""

    def __init__(self, suite, slots, n_envs):
        import gymnasium as gym
        import numpy as np

        rng = np.random.default_rng(0)
        self.n_envs = n_envs
        if suite is None:
            self.env = gym.make_vec("CartPole-v1", num_envs=n_envs, vectorization_mode="vector_entry_point")
            self.actions = list(rng.integers(0, 2, (BATCHES, n_envs)))
        else:
            self.env = gym.make_vec(
                "dqgym/Migration-v0", num_envs=n_envs, suite=suite, max_vcpus=slots, vcpu_slots=slots
            )
            self.actions = list(rng.uniform(-1.0, 1.0, (BATCHES, n_envs, slots)).astype(np.float32))
        self.env.reset(seed=0)
        self.run(WARM_UP_STEPS)
        self.step_s = self.run(WARM_UP_STEPS) / WARM_UP_STEPS

    def run(self, steps):
        """CPU seconds of some steps."""
        env, actions = self.env, self.actions
        start_s = time.process_time()
        for index in range(steps):
            env.step(actions[index % BATCHES])
        return time.process_time() - start_s

    def sample(self, length_s):
        """Environment steps and CPU seconds of a sample of about that length."""
        steps = max(1, round(length_s / self.step_s))
        return [steps * self.n_envs, self.run(steps)]


class Worker:
    """The environments, and what can be asked for."""

    def __init__(self):
        self.made = {}

    def make(self, key, suite, slots, n_envs):
        """Make and warm up an environment; what is wrong, where the tree cannot."""
        try:
            self.made[key] = Environment(suite, slots, n_envs)
        except Exception as error:  # of a tree whose errors are not known here
            return {"problem": f"{type(error).__name__}: {error}"}
        return None

    def sample(self, key, length_s):
        """Environment steps and CPU seconds."""
        return self.made[key].sample(length_s)

    def drop(self, key):
        """Forget an environment."""
        del self.made[key]


def main():
    """Answer until standard input ends."""
    import dqgym

    if not dqgym.__file__.startswith(sys.argv[1]):
        sys.exit(f"dqgym is that of {dqgym.__file__}, not of {sys.argv[1]}")
    worker, answers = Worker(), sys.stdout
    sys.stdout = sys.stderr  # what libraries print is no answer
    for line in sys.stdin:
        call, *arguments = json.loads(line)
        print(json.dumps(getattr(worker, call)(*arguments)), file=answers, flush=True)


if __name__ == "__main__":
    main()
