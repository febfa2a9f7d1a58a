# Reference values of Gaussian mixtures from R mclust 6.0.0, written to mclust_more.json beside this folder.
# Run from anywhere: Rscript mclust_more.R. Needs R packages mclust, MASS and jsonlite; takes a few minutes.
# Every value is computed from the csv files in data/, which export_data.R writes first, so that other programs read the same bits.
suppressPackageStartupMessages({ library(mclust); library(jsonlite) })
arguments <- commandArgs(FALSE)
here <- dirname(normalizePath(sub("^--file=", "", arguments[grep("^--file=", arguments)][1])))
source(file.path(here, "export_data.R"))

codes <- c("EII", "VII", "EEI", "VEI", "EVI", "VVI", "EEE", "EVE", "VEE", "VVE", "EEV", "VEV", "EVV", "VVV")
with_prior <- c("EII", "VII", "EEI", "VEI", "EVI", "VVI", "EEE", "EEV", "VEV", "VVV")
tight <- emControl(tol = c(1e-14, 1e-12), itmax = c(50000, 50000))

num <- function(x) as.vector(signif(unclass(x), 12))
arr <- function(x) I(num(x))
mat <- function(x) { x <- as.matrix(x); signif(matrix(as.numeric(x), nrow(x), ncol(x)), 12) }
read <- function(file) read.csv(file.path(data_folder, file), stringsAsFactors = FALSE)
sizes <- function(z) arr(tabulate(max.col(z, "first"), ncol(z)))
quantile_partition <- function(x, k) as.integer(cut(x, c(-Inf, quantile(x, seq_len(k - 1) / k), Inf)))
icl_of <- function(bic, z) bic + 2 * sum(log(apply(z, 1, max)))

parameters <- function(p, d) {
  weights <- arr(p$pro)
  if (d == 1) {
    G <- length(p$mean)
    return(list(weights = weights, means = mat(matrix(p$mean, G)), covariances = array(num(rep_len(p$variance$sigmasq, G)), c(G, 1, 1))))
  }
  list(weights = weights, means = mat(t(p$mean)), covariances = signif(aperm(unname(p$variance$sigma), c(3, 1, 2)), 12))
}

# One structure from one partition: the end of EM and the log-likelihood after the first M-step.
from_partition <- function(X, code, z, prior = NULL, Vinv = NULL, control = tight) {
  X <- if (NCOL(X) == 1) as.vector(X) else as.matrix(X)
  d <- NCOL(X); n <- NROW(X); noise <- !is.null(Vinv); G <- ncol(z) - noise
  if (noise) {  # mstep() knows no noise column; me() stopped after one iteration gives the same quantities
    first <- suppressWarnings(me(data = X, modelName = code, z = z, Vinv = Vinv, control = emControl(tol = control$tol, itmax = c(1, 50000))))
    after <- first
  } else {
    first <- mstep(data = X, modelName = code, z = z, prior = prior, control = control)
    after <- estep(data = X, modelName = code, parameters = first$parameters)
  }
  r <- suppressWarnings(me(data = X, modelName = code, z = z, prior = prior, Vinv = Vinv, control = control))
  if (!is.finite(r$loglik)) return(list(loglik = NULL))
  value <- bic(code, r$loglik, n, d, G, noise = noise)
  c(list(loglik = num(r$loglik), bic = num(value), icl = num(icl_of(value, r$z)),
         n_parameters = nMclustParams(code, d, G, noise = noise),
         loglik_after_first_mstep = num(after$loglik), first_mstep = parameters(first$parameters, d),
         sizes = sizes(r$z), exact_mstep = !(code %in% c("EVE", "VVE"))), parameters(r$parameters, d))
}

partition_case <- function(id, file, columns, class_column, classes) {
  frame <- read(file); X <- frame[, columns]; z <- unmap(match(frame[[class_column]], classes))
  models <- lapply(setNames(codes, codes), function(code) { cat(id, code, "\n"); from_partition(X, code, z) })
  list(id = id, data = file, columns = columns, class_column = class_column, classes = classes, models = models)
}

univariate_case <- function(id, file, column) {
  x <- read(file)[[column]]
  entries <- list()
  for (k in 2:4) for (code in c("E", "V"))
    entries[[paste0(code, k)]] <- c(list(code = code, n_components = k), from_partition(x, code, unmap(quantile_partition(x, k))))
  list(id = id, data = file, columns = I(column), start = "cut at the quantiles 1/k, 2/k, ... (R type 7); a value equal to a cut belongs below it", models = entries)
}

hierarchical <- function(X, k) if (NCOL(X) == 1) mclust:::qclass(as.vector(X), k) else as.integer(hclass(hc(as.matrix(X), modelName = mclust.options("hcModelName"), use = mclust.options("hcUse")), k))

default_case <- function(id, file, columns) {
  X <- read(file)[, columns, drop = TRUE]; d <- NCOL(X); if (d > 1) X <- as.matrix(X)
  chosen <- Mclust(X, verbose = FALSE)
  start <- if (chosen$G == 1) rep(1L, NROW(X)) else hierarchical(X, chosen$G)
  code <- chosen$modelName
  end <- if (chosen$G == 1) NULL else from_partition(X, code, unmap(start))
  cat(id, code, chosen$G, chosen$loglik, end$loglik, "\n")
  list(id = id, data = file, columns = I(columns), model = code, n_components = chosen$G,
       default_tolerance = list(loglik = num(chosen$loglik), bic = num(chosen$bic), icl = num(icl(chosen)), n_parameters = chosen$df,
                                sizes = arr(tabulate(chosen$classification, chosen$G))),
       start = paste(start, collapse = ""), converged = end)
}

# BIC at mclust's default stopping rule for 1..9 components, and of converged runs from the same partitions for 1..5.
bic_table <- function(id, file, columns) {
  X <- as.matrix(read(file)[, columns]); n <- nrow(X); d <- ncol(X)
  table <- mclustBIC(X, verbose = FALSE)
  at_default <- matrix(signif(as.numeric(table[, codes]), 12), nrow(table))
  start <- function(k) if (k == 1) rep(1L, n) else hierarchical(X, k)
  converged <- t(sapply(1:5, function(k) sapply(codes, function(code) {
    r <- suppressWarnings(me(X, code, unmap(start(k)), control = tight))
    if (is.finite(r$loglik)) signif(bic(code, r$loglik, n, d, k), 12) else NA
  })))
  list(id = id, data = file, columns = columns, codes = codes, bic_default_tolerance = at_default, bic_converged = unname(converged),
       starts = lapply(1:9, function(k) paste(start(k), collapse = "")))
}

prior_case <- function(id, file, columns, k, start, the_codes) {
  frame <- read(file); X <- frame[, columns, drop = TRUE]; if (length(columns) > 1) X <- as.matrix(X)
  z <- unmap(frame[[start]])
  models <- lapply(setNames(the_codes, the_codes), function(code) {
    p <- defaultPrior(X, G = k, modelName = code)
    c(list(prior = list(mean = arr(p$mean), mean_strength = p$shrinkage, dof = p$dof, scale = if (length(p$scale) == 1) num(p$scale) else mat(p$scale))),
      from_partition(X, code, z, prior = priorControl()))
  })
  list(id = id, data = file, columns = I(columns), n_components = k, start = start, models = models)
}

noise_case <- function(id, file, the_codes) {
  frame <- read(file); X <- as.matrix(frame[, c("x", "y")]); Vinv <- hypvol(X, reciprocal = TRUE)
  z <- cbind(frame$start == 1, frame$start == 2, frame$start == 0) * 1
  list(id = id, data = file, columns = c("x", "y"), n_components = 2, start = "start", noise_density = num(Vinv),
       models = lapply(setNames(the_codes, the_codes), function(code) from_partition(X, code, z, Vinv = Vinv)))
}

volume_case <- function(id, file, columns) {
  X <- as.matrix(read(file)[, columns, drop = FALSE])
  range_product <- function(M) prod(apply(M, 2, function(v) diff(range(v))))
  list(id = id, data = file, columns = I(columns), reciprocal = num(hypvol(X, reciprocal = TRUE)),
       reciprocal_box = num(1 / range_product(X)), reciprocal_principal = num(1 / range_product(princomp(X)$scores)))
}

weight_case <- function(id, file, columns, the_codes) {
  frame <- read(file); X <- as.matrix(frame[, columns]); w <- 1 + (seq_len(nrow(X)) - 1) %% 3; z <- unmap(frame$start)
  twice <- rep(seq_len(nrow(X)), w)
  models <- lapply(setNames(the_codes, the_codes), function(code) {
    # absolute stopping rule in me.weighted; its log-likelihood is in units of the largest weight
    r <- suppressWarnings(me.weighted(X, code, z, weights = w, control = emControl(tol = c(1e-11, 1e-12), itmax = c(20000, 50000))))
    c(list(me_weighted = c(list(loglik = num(r$loglik * max(w))), parameters(r$parameters, ncol(X)))),
      list(repeated_rows = from_partition(X[twice, ], code, z[twice, ])))
  })
  list(id = id, data = file, columns = columns, n_components = ncol(z), start = "start", sample_weight = "1, 2, 3, 1, 2, 3, ...", models = models)
}

semi_supervised_case <- function(id, file, columns, classes, the_codes) {
  frame <- read(file); X <- as.matrix(frame[, columns]); label <- factor(ifelse(frame$label == "", NA, frame$label), levels = classes)
  models <- lapply(setNames(the_codes, the_codes), function(code) {
    r <- MclustSSC.fit(X, label, modelName = code, control = emControl(tol = c(1e-11, 1e-12), itmax = c(50000, 50000)))
    c(list(loglik = num(r$loglik), bic = num(r$bic), n_parameters = r$df, sizes = arr(table(r$classification))), parameters(r$parameters, ncol(X)))
  })
  list(id = id, data = file, columns = columns, classes = classes,
       start = "an M-step from one-hot labelled rows and 1/k elsewhere", models = models)
}
MclustSSC.fit <- mclust:::MclustSSC.fit

iris4 <- c("sepal_length", "sepal_width", "petal_length", "petal_width")
eruptions <- c("eruptions", "waiting")
sugar <- c("glucose", "insulin", "sspg")
hormones <- c("RT3U", "T4", "T3", "TSH", "DTSH")
edges <- c("Length", "Left", "Right", "Bottom", "Top", "Diagonal")

out <- list(
  software = paste("R package mclust", packageVersion("mclust"), "under", R.version.string),
  control = "emControl(tol = c(1e-14, 1e-12), itmax = c(50000, 50000)) unless said otherwise",
  partitions = list(
    partition_case("thyroid-diagnosis", "thyroid.csv", hormones, "Diagnosis", c("Hypo", "Normal", "Hyper")),
    partition_case("banknote-status", "banknote.csv", edges, "Status", c("counterfeit", "genuine"))),
  univariate = list(univariate_case("galaxies-quantiles", "galaxies.csv", "velocity_1000km_s"), univariate_case("acidity-quantiles", "acidity.csv", "log_acidity")),
  default_choice = list(
    default_case("faithful", "faithful.csv", eruptions), default_case("iris", "iris.csv", iris4), default_case("diabetes", "diabetes.csv", sugar),
    default_case("thyroid", "thyroid.csv", hormones), default_case("banknote", "banknote.csv", edges),
    default_case("galaxies", "galaxies.csv", "velocity_1000km_s"), default_case("acidity", "acidity.csv", "log_acidity")),
  bic_tables = list(bic_table("faithful", "faithful.csv", eruptions), bic_table("iris", "iris.csv", iris4)),
  priors = list(prior_case("iris-species-prior", "iris.csv", iris4, 3, "start", with_prior), prior_case("waiting-prior", "faithful.csv", "waiting", 2, "start", c("E", "V"))),
  noise = list(noise_case("contaminated", "contaminated.csv", c("EII", "VII", "VVI", "EEE", "EEV", "VEV", "VVV")), noise_case("contaminated-tilted", "contaminated_tilted.csv", c("EEE", "VVV"))),
  volumes = list(
    volume_case("faithful", "faithful.csv", eruptions), volume_case("iris", "iris.csv", iris4), volume_case("diabetes", "diabetes.csv", sugar),
    volume_case("thyroid", "thyroid.csv", hormones), volume_case("banknote", "banknote.csv", edges), volume_case("galaxies", "galaxies.csv", "velocity_1000km_s"),
    volume_case("contaminated", "contaminated.csv", c("x", "y")), volume_case("contaminated-tilted", "contaminated_tilted.csv", c("x", "y"))),
  weights = weight_case("faithful-weighted", "faithful.csv", eruptions, c("EII", "VVI", "EEE", "EEV", "VEV", "VVV")),
  semi_supervised = semi_supervised_case("iris-every-fifth", "iris_semisupervised.csv", iris4, c("setosa", "versicolor", "virginica"),
                                         c("EII", "VVI", "EEE", "EVE", "VEE", "EEV", "VEV", "VVV")))
writeLines(toJSON(out, auto_unbox = TRUE, digits = NA, null = "null", na = "null"), file.path(dirname(here), "mclust_more.json"))
