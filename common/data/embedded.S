/* embedded.S - the default data set (optdigits, see data/README.md) as it lies in
 * data/optdigits: gzip-compressed IDX files, so that `witan sim` runs with no file. */
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

    .section .note.GNU-stack, "", %progbits
