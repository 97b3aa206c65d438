"""Tests of the models, the contract and the tools."""
