# Standard errors of two-state hidden Markov models from the Hessian of the log-likelihood, by a forward algorithm of its own
# and numDeriv's Richardson extrapolation. Start probabilities end at 0 and 1, and are held there.
# Rscript tests/reference/scripts/hmm_errors.R [reaction times, csv with a column rt] > tests/reference/hmm_errors.json
library(numDeriv)
near <- list(d = 2e-3) # steps of two thousandths; the default of a tenth is wider than a state is

forward <- function(start, moves, density) {
  phi <- start
  total <- 0
  for (t in seq_len(nrow(density))) {
    phi <- phi * density[t, ]
    total <- total + log(sum(phi))
    phi <- as.vector((phi / sum(phi)) %*% moves)
  }
  total
}
moves_of <- function(p) matrix(c(1 - p[1], p[2], p[1], 1 - p[2]), 2)
maximum <- function(f, begin, unit) {
  fit <- optim(begin, f, method = "Nelder-Mead", control = list(fnscale = -1, maxit = 20000, reltol = 1e-15, parscale = unit))
  for (i in 1:8) fit$par <- fit$par - solve(hessian(f, fit$par, method.args = near), grad(f, fit$par, method.args = near))
  fit$value <- f(fit$par)
  fit
}
told <- function(f, begin, unit, names) {
  fit <- maximum(f, begin, unit)
  se <- sqrt(diag(solve(-hessian(f, fit$par, method.args = near))))
  show <- function(x) paste0("{", paste0("\"", names, "\": ", formatC(x, digits = 9, format = "g"), collapse = ", "), "}")
  paste0("{\"loglik\": ", formatC(fit$value, digits = 12, format = "g"), ", \"estimate\": ", show(fit$par), ", \"se\": ", show(se), "}")
}

quakes <- c(13, 14, 8, 10, 16, 26, 32, 27, 18, 32, 36, 24, 22, 23, 22, 18, 25, 21, 21, 14, 8, 11, 14, 23, 18, 17, 19, 20, 22, 19,
  13, 26, 13, 14, 22, 24, 21, 22, 26, 21, 23, 24, 27, 41, 31, 27, 35, 26, 28, 36, 39, 21, 17, 22, 17, 19, 15, 34, 10, 15, 22, 18,
  15, 20, 15, 22, 19, 16, 30, 27, 29, 23, 20, 16, 21, 21, 25, 16, 18, 15, 18, 14, 10, 15, 8, 15, 6, 11, 8, 7, 18, 16, 13, 12, 13,
  20, 15, 16, 12, 18, 15, 16, 13, 15, 16, 11, 11)
poisson <- function(p) forward(c(1, 0), moves_of(p), sapply(p[3:4], function(rate) dpois(quakes, rate)))
out <- paste0("\"earthquakes\": ", told(poisson, c(0.07, 0.12, 15.4, 26), c(0.01, 0.01, 1, 1), c("a12", "a21", "rate1", "rate2")))

file <- commandArgs(trailingOnly = TRUE)
if (length(file)) {
  rt <- read.csv(file[1])$rt
  normal <- function(p) forward(c(0, 1), moves_of(p), sapply(1:2, function(k) dnorm(rt, p[2 + k], sqrt(p[4 + k]))))
  begin <- c(0.1165, 0.0843, 5.510, 6.385, 0.0368, 0.0596)
  out <- c(out, paste0("\"speed_joined\": ", told(normal, begin, begin / 10, c("a12", "a21", "mean1", "mean2", "variance1", "variance2"))))
}
cat("{\"software\": \"", R.version.string, ", numDeriv ", as.character(packageVersion("numDeriv")), "\",\n", paste(out, collapse = ",\n"), "}\n", sep = "")
