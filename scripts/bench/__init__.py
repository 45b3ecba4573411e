"""`make bench`: how fast the service is, beside what else the same machine can do in the same run.

It starts everything itself and prints ratios, because times of one machine mean nothing on
another. It must never judge: a slow figure is told, and only a wrong answer fails the run.
"""
