"""What every component must do, as plain functions (`…_checks`) and as classes for pytest.

The functions need no pytest: `ssl3d doctor` calls them too. They raise `AssertionError` with a
reason, or `unittest.SkipTest` where a library lacks what they try.
"""
