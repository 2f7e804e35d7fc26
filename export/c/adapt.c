/* Adapt an exported model to pictures and draw more of them; C11, no Python.
 *
 *   ./adapt VERSION OUTPUT SAMPLES STEPS SEED PICTURE...
 *   ./adapt export/models/mnist/1 more.pgm 64 10 1 one.pgm two.pgm three.pgm
 *
 * Pictures are binary PGM or PPM files of the model's size with 255 levels, and
 * so is the output.
 */
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tensorflow/c/c_api.h"

enum { COLUMNS = 8, MOST = 1 << 12 };

static _Noreturn void fail(const char *form, ...) {
  va_list words;
  va_start(words, form);
  fputs("adapt: ", stderr);
  vfprintf(stderr, form, words);
  fputc('\n', stderr);
  exit(1);
}

/* End with the sentence of the model, or with TensorFlow's own first line. */
static void check(TF_Status *status) {
  if (TF_GetCode(status) == TF_OK) return;
  const char *text = TF_Message(status), *said = strstr(text, "failed: [");
  if (said) fail("%.*s", (int)strcspn(said, "\n") - 10, said + 9);
  fail("%.*s", (int)strcspn(text, "\n"), text);
}

static int32_t number(const char *text) {
  char *end;
  long value = strtol(text, &end, 10);
  if (end == text || *end || value < INT_MIN || value > INT_MAX)
    fail("%s is no whole number of 32 bits", text);
  return (int32_t)value;
}

static void *memory(void *old, size_t bytes) {
  void *made = realloc(old, bytes);
  if (!made) fail("no memory for %zu bytes", bytes);
  return made;
}

static char *read_text(const char *folder, const char *name) {
  char path[FILENAME_MAX], *text = NULL;
  snprintf(path, sizeof path, "%s/%s", folder, name);
  FILE *file = fopen(path, "rb");
  if (!file) fail("%s cannot be read; expected a version of a model", path);
  size_t size = 0, got;
  do {
    text = memory(text, size + BUFSIZ + 1);
    size += got = fread(text + size, 1, BUFSIZ, file);
  } while (got);
  fclose(file);
  text[size] = '\0';
  return text;
}

/* Find a tensor in model.json: names differ from export to export. */
static TF_Output tensor(TF_Graph *graph, const char *json, const char *side,
                        const char *name) {
  const char *keys[] = {"signatures", "adapt_and_sample", side, name, "tensor"};
  for (int i = 0; i < 5; i++) {
    char key[64];
    int size = snprintf(key, sizeof key, "\"%s\": ", keys[i]);
    if (!(json = strstr(json, key))) fail("model.json has no %s", name);
    json += size;
  }
  char operation[256];
  int index;
  if (sscanf(json, "\"%255[^:\"]:%d", operation, &index) != 2)
    fail("model.json has another form than expected at %s", name);
  return (TF_Output){TF_GraphOperationByName(graph, operation), index};
}

/* Append the levels of a picture, in [-1, 1], to images [K, H, W, C]. */
static float *read_picture(const char *path, float *images, int64_t size[4]) {
  FILE *file = fopen(path, "rb");
  if (!file) fail("%s cannot be read", path);
  int kind, w, h, top;
  if (fscanf(file, "P%d %d %d %d", &kind, &w, &h, &top) != 4 || top != 255 ||
      (kind != 5 && kind != 6) || w < 1 || h < 1 || w > MOST || h > MOST)
    fail("%s is no binary PGM or PPM file of 255 levels", path);
  fgetc(file);
  int64_t found[] = {h, w, kind == 5 ? 1 : 3};
  if (size[0]++ == 0) memcpy(size + 1, found, sizeof found);
  if (memcmp(size + 1, found, sizeof found))
    fail("%s has another size or kind than the first picture", path);
  size_t one = (size_t)(found[0] * found[1] * found[2]);
  size_t all = one * (size_t)size[0];
  images = memory(images, all * sizeof *images);
  for (size_t i = all - one; i < all; i++) {
    int level = fgetc(file);
    if (level == EOF) fail("%s ends early", path);
    images[i] = (float)level / 127.5f - 1.0f;
  }
  fclose(file);
  return images;
}

/* Write samples [N, H, W, C] beside and below each other. */
static void write_picture(const char *path, TF_Tensor *samples) {
  const float *from = TF_TensorData(samples);
  size_t size[4];
  for (int i = 0; i < 4; i++) size[i] = (size_t)TF_Dim(samples, i);
  size_t n = size[0], h = size[1], line = size[2] * size[3];
  size_t columns = n < COLUMNS ? n : COLUMNS, lines = (n - 1) / columns + 1;
  size_t bytes = lines * h * columns * line;
  unsigned char *levels = memset(memory(NULL, bytes), 0, bytes);
  for (size_t i = 0; i < n * h * line; i++) {
    size_t image = i / (h * line), y = image / columns * h + i / line % h;
    levels[(y * columns + image % columns) * line + i % line] =
        (unsigned char)((from[i] + 1.0f) * 127.5f + 0.5f);
  }
  FILE *file = fopen(path, "wb");
  if (!file) fail("%s cannot be written", path);
  fprintf(file, "P%d %zu %zu 255\n", size[3] == 1 ? 5 : 6, columns * size[2],
          lines * h);
  size_t written = fwrite(levels, 1, bytes, file);
  if (fclose(file) || written < bytes) fail("%s cannot be written", path);
  free(levels);
}

static TF_Tensor *filled(TF_DataType type, const int64_t *size, int axes,
                         const void *data, size_t bytes) {
  TF_Tensor *made = TF_AllocateTensor(type, size, axes, bytes);
  memcpy(TF_TensorData(made), data, bytes);
  return made;
}

int main(int argc, char **argv) {
  if (argc < 7) fail("expected VERSION OUTPUT SAMPLES STEPS SEED PICTURE...");
  int32_t num_samples = number(argv[3]), steps = number(argv[4]);
  int64_t seed[2] = {0, number(argv[5])}, two = 2, size[4] = {0};
  float *images = NULL;
  for (int i = 6; i < argc; i++) images = read_picture(argv[i], images, size);
  size_t pixels = (size_t)(size[0] * size[1] * size[2] * size[3]);

  TF_Status *status = TF_NewStatus();
  TF_Graph *graph = TF_NewGraph();
  TF_SessionOptions *options = TF_NewSessionOptions();
  const char *tag = "serve";
  TF_Session *session = TF_LoadSessionFromSavedModel(
      options, NULL, argv[1], &tag, 1, graph, NULL, status);
  check(status);

  /* All but images may be left out: they have the defaults of the model. */
  char *json = read_text(argv[1], "model.json");
  TF_Output inputs[] = {tensor(graph, json, "inputs", "images"),
                        tensor(graph, json, "inputs", "num_samples"),
                        tensor(graph, json, "inputs", "steps"),
                        tensor(graph, json, "inputs", "seed")};
  TF_Tensor *values[] = {filled(TF_FLOAT, size, 4, images, pixels * 4),
                         filled(TF_INT32, NULL, 0, &num_samples, 4),
                         filled(TF_INT32, NULL, 0, &steps, 4),
                         filled(TF_INT64, &two, 1, seed, sizeof seed)};
  TF_Output output = tensor(graph, json, "outputs", "samples");
  TF_Tensor *samples;
  TF_SessionRun(session, NULL, inputs, values, 4, &output, &samples, 1, NULL, 0,
                NULL, status);
  check(status);
  write_picture(argv[2], samples);

  TF_DeleteTensor(samples);
  for (int i = 0; i < 4; i++) TF_DeleteTensor(values[i]);
  TF_DeleteSession(session, status);
  TF_DeleteSessionOptions(options);
  TF_DeleteGraph(graph);
  TF_DeleteStatus(status);
  free(json);
  free(images);
}
