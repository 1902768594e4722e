witan_test(model_golden SOURCE test_model_golden.c ROOMS nn num base LABELS unit golden)
witan_test(model SOURCE test_model.c ROOMS nn num base LABELS unit grad fault property)
