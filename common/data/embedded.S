/* embedded.S - the data sets that need no file (see data/README.md), compressed as they
 * lie in data/: the default one, optdigits, as IDX files; tiny Shakespeare as text. */
    .section .rodata

    .macro embed name, file
    .balign 16
    .global witan_embedded_\name
    .hidden witan_embedded_\name
witan_embedded_\name:
    .incbin "\file"
embedded_end_\name:
    .balign 8
    .global witan_embedded_\name\()_size
    .hidden witan_embedded_\name\()_size
witan_embedded_\name\()_size:
    .quad embedded_end_\name - witan_embedded_\name
    .endm

    embed train_images, "train-images-idx3-ubyte.gz"
    embed train_labels, "train-labels-idx1-ubyte.gz"
    embed test_images, "t10k-images-idx3-ubyte.gz"
    embed test_labels, "t10k-labels-idx1-ubyte.gz"
    embed shakespeare, "input.txt.gz"

    .section .note.GNU-stack, "", %progbits
