witan_test(sequence_golden SOURCE test_sequence_golden.c ROOMS nn num base LABELS unit golden)
witan_test(sequence SOURCE test_sequence.c ROOMS nn num base LABELS unit grad fault property)
