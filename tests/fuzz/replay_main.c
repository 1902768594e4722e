/* replay_main.c - runs a fuzz target over every file of a corpus directory, so that a
 * normal test run under any compiler keeps old crashes out. An empty corpus fails. */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
main(int argc, char **argv)
{
    size_t inputs = 0;
    DIR *directory = argc == 2 ? opendir(argv[1]) : NULL;
    if (directory == NULL) {
        fprintf(stderr, "usage: replay CORPUS_DIRECTORY (must exist)\n");
        return 1;
    }
    for (struct dirent *entry; (entry = readdir(directory)) != NULL;) {
        char path[4096];
        if (entry->d_name[0] == '.') {
            continue;
        }
        (void)snprintf(path, sizeof path, "%s/%s", argv[1], entry->d_name);
        FILE *file = fopen(path, "rb");
        if (file == NULL) {
            fprintf(stderr, "cannot read %s\n", path);
            return 1;
        }
        (void)fseek(file, 0, SEEK_END);
        long size = ftell(file);
        rewind(file);
        /* An exact heap block, so that a sanitizer sees a read past the end. */
        uint8_t *data = malloc(size > 0 ? (size_t)size : 1);
        if (data == NULL || fread(data, 1, (size_t)size, file) != (size_t)size) {
            fprintf(stderr, "cannot read %s\n", path);
            return 1;
        }
        (void)fclose(file);
        (void)LLVMFuzzerTestOneInput(data, (size_t)size);
        free(data);
        inputs++;
    }
    (void)closedir(directory);
    printf("%zu inputs replayed\n", inputs);
    return inputs == 0 ? 1 : 0;
}
