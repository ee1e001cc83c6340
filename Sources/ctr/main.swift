print("ctr")
