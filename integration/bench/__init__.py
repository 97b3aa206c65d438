"""Where the time of a reconstruction goes: the bare model beside the whole service, in one run."""
