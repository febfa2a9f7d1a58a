# Write the csv files in data/ that come out of R packages (mclust, MASS) or are simulated; existing files are kept.
# Sourced by mclust_more.R, which defines `here`, the folder of this file.
data_folder <- file.path(dirname(here), "data")
dir.create(data_folder, showWarnings = FALSE)
export <- function(frame, name) {
  path <- file.path(data_folder, name)
  if (file.exists(path)) return(invisible(path))
  for (j in seq_along(frame)) if (is.double(frame[[j]])) frame[[j]] <- signif(frame[[j]], 15)
  write.csv(frame, path, row.names = FALSE, quote = FALSE, na = "")
}
from_mclust <- function(name) { e <- new.env(); data(list = name, package = "mclust", envir = e); e[[name]] }

export(from_mclust("thyroid"), "thyroid.csv")
export(from_mclust("banknote"), "banknote.csv")
export(data.frame(velocity_1000km_s = MASS::galaxies / 1000), "galaxies.csv")

# Two normal clusters in a uniform background: 120 + 100 + 60 rows; start: 1, 2 and 0 = noise, 15 rows mislabelled on purpose.
RNGversion("4.0.0")
set.seed(20070724)
clusters <- function() rbind(
  cbind(rnorm(120, 0, 1), rnorm(120, 0, 1)) %*% matrix(c(1, 0.6, 0, 0.5), 2),
  sweep(cbind(rnorm(100, 0, 1), rnorm(100, 0, 1)) %*% matrix(c(0.7, -0.3, 0, 0.9), 2), 2, c(5, 3), "+"))
start <- function() { s <- rep(c(1L, 2L, 0L), c(120, 100, 60)); i <- sample(280, 15); s[i] <- (s[i] + 1L) %% 3L; s }
square <- rbind(clusters(), cbind(runif(60, -6, 11), runif(60, -6, 9)))
export(data.frame(x = round(square[, 1], 4), y = round(square[, 2], 4), start = start()), "contaminated.csv")
# The same with the background in a narrow strip along the diagonal, so that the principal-component box is the smaller one.
u <- runif(60, -8, 14); v <- runif(60, -3, 3)
strip <- rbind(clusters(), cbind(0.85 * u - 0.52 * v, 0.52 * u + 0.85 * v))
export(data.frame(x = round(strip[, 1], 4), y = round(strip[, 2], 4), start = start()), "contaminated_tilted.csv")
