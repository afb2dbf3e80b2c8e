"""Teachers and students for incomplete labels (papers 001 and 002).

`roles` says which clips supervise what, `method` what a stack learns,
`features` feeds the recurrent stage, `stages` trains one after the other,
`scores` and `report` say what came out.
"""
