foreach(part IN ITEMS zoo loss optimiser learn)
    witan_test(nn_${part} SOURCE test_${part}.c ROOMS nn num base LABELS unit LIBS m)
endforeach()
