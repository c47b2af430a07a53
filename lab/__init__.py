"""Evidence that is not a test of the package: benchmarks, faults, deployments, and the tools that judge the tests."""
