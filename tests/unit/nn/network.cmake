witan_test(network SOURCE test_network.c ROOMS nn num base LABELS unit fault LIBS m)
