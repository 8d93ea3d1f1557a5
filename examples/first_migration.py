"""A first migration: one guest whose writers get a third of a fair share of the link, from start to end.

Run it with ``python examples/first_migration.py``. The lines up to the first ``print`` are those of README.
"""

import gymnasium as gym
import numpy as np

env = gym.make("dqgym:dqgym/Migration-v0", suite="phases", preference=0.2)
observation, info = env.reset(seed=0)
ended = False
while not ended:
    a_third = np.zeros(env.action_space.shape, dtype=np.float32)  # of a fair share, for every vCPU
    observation, reward, ended, _, info = env.step(a_third)
print(info["converged"], info["time_over_t0"], info["guest_runtime"], info["cost"])

# The same guest again under other constant limits. An action is a limit in units of a fair share, on a logarithmic
# scale: 1 is no limit, 0 is 0.32 fair shares, -1 is 0.005. A short migration and a guest that runs pull apart.
print(f"{'action':>6}  {'converged':>9}  {'T / T0':>6}  {'guest runtime':>13}  {'J':>6}")
for action in (1.0, 0.5, 0.0, -0.5, -1.0):
    observation, info = env.reset(seed=0)
    ended = False
    while not ended:
        limits = np.full(env.action_space.shape, action, dtype=np.float32)
        observation, reward, ended, _, info = env.step(limits)
    converged, time, runtime = "yes" if info["converged"] else "no", info["time_over_t0"], info["guest_runtime"]
    print(f"{action:6.1f}  {converged:>9}  {time:6.2f}  {runtime:13.1%}  {info['cost']:6.2f}")
