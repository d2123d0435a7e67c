"""Latency as load comes: at a fixed rate, one request at a time, as fast as keeps a bound, or all at once.

The last three are MLPerf Inference's scenarios SingleStream, Server and Offline (arXiv 1911.02549).
"""
