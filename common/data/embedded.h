/* embedded.h - the files that embedded.S carries; sizes in bytes. */
#ifndef WITAN_DATA_EMBEDDED_H
#define WITAN_DATA_EMBEDDED_H

#include <stdint.h>

extern const uint8_t witan_embedded_train_images[];
extern const uint64_t witan_embedded_train_images_size;
extern const uint8_t witan_embedded_train_labels[];
extern const uint64_t witan_embedded_train_labels_size;
extern const uint8_t witan_embedded_test_images[];
extern const uint64_t witan_embedded_test_images_size;
extern const uint8_t witan_embedded_test_labels[];
extern const uint64_t witan_embedded_test_labels_size;
extern const uint8_t witan_embedded_shakespeare[];
extern const uint64_t witan_embedded_shakespeare_size;

#endif
