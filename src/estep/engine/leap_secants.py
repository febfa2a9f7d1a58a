"""Leaps from many EM iterates at once: Anderson's mixing and a quasi-Newton method on the EM map.

F(theta) = M(theta) - theta is the residual of an evaluated point, known with its image M(theta).

    anderson       minimise |F_m - sum_j g_j (F_m - F_j)|^2 + ridge |g|^2:    theta = M_m - sum_j g_j (M_m - M_j)
    quasi_newton   u_j = M(theta_j) - theta_j, v_j = M(M(theta_j)) - M(theta_j), over the EM steps among the points:
                   theta = M_m + V (U'U - U'V)^-1 U' F_m

Safeguards of both (damped, restarted, monotone, as in DAAREM): the ridge, in units of the mean squared change of residuals,
grows a hundredfold with every refusal and shrinks by 4 with every success; a refused leap restarts the history at the last
point; and the leap after a refusal is one of SQUAREM, which is at home where EM is not yet linear.

symbol   variable       shape
theta_j  points[j]      (m, p)
M_j      images[j]      (m, p)

Sources: Walker & Ni (2011), SIAM J. Numer. Anal. 49:1715; Henderson & Varadhan (2019), J. Comput. Graph. Statist. 28:834
(damping, restarts); Zhou, Alexander & Lange (2011), Statistics and Computing 21:261 (quasi-Newton).
"""

from __future__ import annotations

import dataclasses

import numpy as np

from estep.core.record import Array
from estep.engine.leap_parabola import squarem
from estep.engine.state import LeapMemory

LEAST_RIDGE, MOST_RIDGE = 1e-14, 1e-2
LONGEST = 1e3
SHORTEST = 4.0


def anderson(memory: LeapMemory) -> Array | None:
    """The damped combination of images whose residual is least."""
    if int(memory.mode) < 0:
        return recovering(memory)
    residuals = memory.images - memory.points
    if len(residuals) < 2:
        return None
    newest, change = residuals[-1], residuals[-1] - residuals[:-1]
    gram = change @ change.T
    ridge = float(memory.trust) * np.trace(gram) / len(gram)
    if not ridge > 0:
        return None
    mix = np.linalg.solve(gram + ridge * np.eye(len(gram)), change @ newest)
    return np.asarray(memory.images[-1] - mix @ (memory.images[-1] - memory.images[:-1]))


def quasi_newton(memory: LeapMemory) -> Array | None:
    """Newton's step on ``theta - M(theta)`` with the derivative of M from secants."""
    if int(memory.mode) < 0:
        return recovering(memory)
    steps = [j for j in range(len(memory.points) - 1) if np.array_equal(memory.points[j + 1], memory.images[j])]
    if not steps:
        return None
    u = (memory.images - memory.points)[steps]
    v = np.stack([memory.images[j + 1] - memory.images[j] for j in steps])
    table = u @ u.T - u @ v.T
    table += float(memory.trust) * np.trace(u @ u.T) / len(steps) * np.eye(len(steps))
    mix = np.linalg.lstsq(table, u @ (memory.images[-1] - memory.points[-1]), rcond=1e-10)[0]
    return np.asarray(memory.images[-1] + mix @ v)


def recovering(memory: LeapMemory) -> Array | None:
    """SQUAREM's leap (scheme S3) from the last EM step, shorter after every refusal."""
    return squarem("S3", max(LONGEST / 8.0 ** (-1 - int(memory.mode)), SHORTEST))(memory)


def damped(memory: LeapMemory, accepted: bool) -> LeapMemory:
    """After a leap: ``mode`` is minus the number of refusals since the last success."""
    kept = memory if accepted else dataclasses.replace(memory, points=memory.points[-1:], images=memory.images[-1:])
    kept = dataclasses.replace(kept, mode=np.int64(0 if accepted else int(memory.mode) - 1))
    if int(memory.mode) < 0:
        return kept
    trust = max(float(memory.trust) / 4.0, LEAST_RIDGE) if accepted else min(100.0 * float(memory.trust), MOST_RIDGE)
    return dataclasses.replace(kept, trust=np.float64(trust))
