witan_test(sequence_golden SOURCE test_sequence_golden.c ROOMS nn num base LABELS unit golden)
witan_test(sequence SOURCE test_sequence.c ROOMS nn num base LABELS unit grad fault property LIBS m)
witan_test(sequence_learn SOURCE test_sequence_learn.c ROOMS nn num base LABELS unit fault LIBS m)
