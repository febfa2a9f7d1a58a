# Rscript mclust.R G: mclustBIC of the geyser data over 1..G components; one line of JSON.
suppressMessages(library(mclust))
G <- as.integer(commandArgs(trailingOnly = TRUE)[1])
X <- as.matrix(faithful)
found <- mclustBIC(X, G = 1:G, verbose = FALSE)
seconds <- sapply(1:3, function(i) system.time(mclustBIC(X, G = 1:G, verbose = FALSE))[["elapsed"]])
best <- which(found == max(found, na.rm = TRUE), arr.ind = TRUE)[1, ]
cat(sprintf('{"seconds": %.4f, "best": ["%s", %d], "bic": %.6f}\n',
            median(seconds), colnames(found)[best[2]], as.integer(rownames(found)[best[1]]), max(found, na.rm = TRUE)))
