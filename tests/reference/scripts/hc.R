# Partitions of mclust's model-based hierarchical clustering and its quantile classes, for hierarchical_mclust.json.
# Run in this folder: Rscript hc.R   (R 4.2, mclust 6.0.0, jsonlite)
suppressMessages({library(mclust); library(jsonlite)})
read <- function(name, columns) as.matrix(read.csv(file.path("..", "data", paste0(name, ".csv")))[, columns, drop = FALSE])
sets <- list(
  iris = read("iris", 1:4), faithful = read("faithful", 1:2), diabetes = read("diabetes", 1:3),
  thyroid = read("thyroid", 2:6), banknote = read("banknote", 2:7), chevron = read("chevron", 1:2))
line <- list(galaxies = read("galaxies", 1), acidity = read("acidity", 1))
ks <- 2:6
digits <- function(labels) paste(labels, collapse = "")
cuts <- function(X, model, use) {
  classes <- hclass(hc(X, modelName = model, use = use), ks)
  setNames(lapply(seq_along(ks), function(j) digits(classes[, j])), ks)
}
models <- c("VVV", "EEE", "VII", "EII")
both <- list()
for (name in names(sets)) for (use in c("SVD", "VARS")) for (model in models) {
  if (name == "chevron" && (use == "VARS" || model != "VVV")) next   # 1104 rows: one tree is enough
  both[[name]][[use]][[model]] <- cuts(sets[[name]], model, use)
}
for (name in names(line)) both[[name]][["VARS"]][["EII"]] <- cuts(line[[name]], "E", "VARS")
quantiles <- lapply(line, function(x) setNames(lapply(2:9, function(k) digits(mclust:::qclass(x, k))), 2:9))
quantiles$whole <- setNames(lapply(c(2, 3, 6), function(k) digits(mclust:::qclass(1:31, k))), c(2, 3, 6))
write_json(
  list(made_with = paste("R", getRversion(), "mclust", packageVersion("mclust")), columns = lapply(sets, colnames),
       hierarchical = both, quantiles = quantiles),
  file.path("..", "hierarchical_mclust.json"), auto_unbox = TRUE, pretty = TRUE)
