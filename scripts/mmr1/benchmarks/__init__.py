"""The benchmarks of Tables 2 and 3, one file each: where a problem comes from, how it is asked, how it is scored."""
