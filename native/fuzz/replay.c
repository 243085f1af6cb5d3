/*
 * Feeds every file of a folder to the target, for compilers without libFuzzer.
 */
#include "fuzz.h"

#include <dirent.h>
#include <string.h>

static int feed(const char *folder, const char *name)
{
    char path[1024];
    uint8_t *data;
    FILE *file;
    long size;

    snprintf(path, sizeof(path), "%s/%s", folder, name);
    file = fopen(path, "rb");
    if (!file || fseek(file, 0, SEEK_END) || (size = ftell(file)) < 0) {
        perror(path);
        exit(1);
    }
    rewind(file);
    /* Of exactly the size, so that the sanitizer sees one byte too many. */
    data = malloc(size ? (size_t)size : 1);
    if (!data || fread(data, 1, (size_t)size, file) != (size_t)size) {
        perror(path);
        exit(1);
    }
    fclose(file);
    LLVMFuzzerTestOneInput(data, (size_t)size);
    free(data);
    return 1;
}

int main(int argc, char **argv)
{
    struct dirent *entry;
    int count = 0;
    DIR *dir;

    if (argc != 2 || !(dir = opendir(argv[1]))) {
        fprintf(stderr, "usage: %s FOLDER\n", argv[0]);
        return 1;
    }
    while ((entry = readdir(dir)))
        if (entry->d_name[0] != '.')
            count += feed(argv[1], entry->d_name);
    closedir(dir);
    printf("%s: %d kept inputs ok\n", argv[1], count);
    return count ? 0 : 1;
}
