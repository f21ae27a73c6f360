"""Stock distribution kernels under qemu: downloaded as packages, booted, asked, forgotten."""
