# Bootstrap standard errors and likelihood ratio statistics of mclust, for mclust_bootstrap.json.
# Run in this folder: Rscript mclust_bootstrap.R   (R 4.2, mclust 6.0.0, jsonlite)
suppressMessages({library(mclust); library(jsonlite)})

set.seed(20)
n_boot <- 2999
fit <- Mclust(faithful, G = 2, modelNames = "VVV", verbose = FALSE)
order_of <- order(-fit$parameters$pro)
errors <- lapply(c(nonparametric = "bs", weighted = "wlbs", parametric = "pb"), function(type) {
  found <- summary(MclustBootstrap(fit, nboot = n_boot, type = type, verbose = FALSE), what = "se")
  list(weights = unname(found$pro[order_of]), means = unname(t(found$mean[, order_of])),
       variances = unname(t(apply(found$variance[, , order_of], 3, diag))))
})
ratios <- lapply(c(E = "E", V = "V"), function(name) {
  found <- mclustBootstrapLRT(faithful$waiting, modelName = name, maxG = 2, nboot = 99, verbose = FALSE)
  list(statistics = unname(found$obs), p_values = unname(found$p.value))
})
write_json(list(source = paste("mclust", packageVersion("mclust")), n_boot = n_boot, log_likelihood = fit$loglik,
                standard_errors = errors, likelihood_ratios = ratios),
           "../mclust_bootstrap.json", auto_unbox = TRUE, digits = 8, pretty = TRUE)
