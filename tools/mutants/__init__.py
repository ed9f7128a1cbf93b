"""Mutation testing of the parts that must not be wrong: what a changed operator or constant does to their tests.

The operators are mutmut's. Its runner is not used: it runs pytest several times in one process, which Hypothesis
refuses for tests in classes (HealthCheck.differing_executors), and it leaves out what is decorated. Here pytest
collects once; each mutant is a fork in which one function's code is exchanged in place and the tests that reach its
line run, the quickest first, until one fails.
"""
