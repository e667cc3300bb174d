"""Deterministic solvers for linear models: full batch, on cached margins.

A solver is put together from small parts, each in a file of its own:

=================  =====================================================================
`design`           X seen in centred, scaled columns, without a copy of X
`losses`           logistic losses on margins: probabilities, residual, curvature
`dense_pass`       margins, loss and gradient of dense rows in one pass (`_dense_pass.c`)
`problem`          design + loss + penalties; points with their cached margins
`search`           the step along a direction: one-dimensional Newton on cached margins
`metrics`          what stands for the inverse Hessian: sampled, diagonal
`directions`       where to go: Newton-Cholesky, L-BFGS in a metric
`rotated`          the sampled Hessian of several classes, by their contrasts
`gradient`         plain gradient descent
`nesterov`         accelerated gradient steps with adaptive restart
`single`           float32 copies of float64 problems, in the same coordinates
`descent`          the loop: direction, search, stop
`proximal`         the loop for l1 and elastic-net penalties, accelerated steps
`proximal_newton`  the same penalties by Newton's model, for few columns
`coordinate`       the same penalties by a growing working set, for many columns
`columns`          the columns of a working set: Hessian, margins, sweeps
`dual`             dual coordinate descent for sparse rows under a weak l2 penalty
`kernels`          the compiled loops of these (`_kernels.c`), behind checks
`stopping`         the one meaning of "converged"
`choice`           which of them suits the data
`stacked`          a grid of models, strengths times folds, as one problem (`stacked_*`)
`stochastic`       gradient descent by batches, for `mlfund.losses` (`stochastic_*`)
=================  =====================================================================

Shapes: n rows, d columns of X, p = d + 1 with an intercept, k outputs (1 when binary).
Weights are stored output-major, (k, p), and margins (k, n): the skinny products
run up to seven times faster that way.
"""
