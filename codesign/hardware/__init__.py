"""The hardware model: what an accelerator costs and how many cycles it takes, and which one to build.

From the bottom up: ``dsp`` (products in one multiplier), ``memories`` (arrays on memory primitives),
``accelerator`` (the design's parameters), ``images`` (sizes of what is stored), ``cycles``, ``resources``,
``placement`` (weights onto memories), ``predict`` (all of it for one design), ``work`` (what is asked),
``search`` (all designs), ``plan`` (the choice).
"""
