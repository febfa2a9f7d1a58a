"""What people look at: text and pictures made from results and data. Nothing here fits."""
