witan_test(network SOURCE test_network.c ROOMS nn num base LABELS unit fault LIBS m)
witan_test(private SOURCE test_private.c ROOMS nn num base LABELS unit golden fault property LIBS m)
