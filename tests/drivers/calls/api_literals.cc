/* api_literals.cc: literals of Microsoft's compiler: __FUNCTION__ joined with its neighbours, numbers with a suffix i64.
 *
 * expect: completed
 */
#include <ntddk.h>

#define TRACE(format, ...) DbgPrint("[" __FUNCTION__ "] " format "\n", ##__VA_ARGS__)

class Box {
  public:
    explicit Box(int value) : _value(value) {
    }
    int Get() const {
        TRACE("%d", _value);
        return sizeof("<" __FUNCTION__ ">") == sizeof("<Get>") ? _value : 0;
    }

  private:
    int _value;
};

struct __declspec(align(16)) Aligned {
    LONG64 Value;
};

namespace Names {
static BOOLEAN Inner(VOID) {
    if (TRUE) {
        return strcmp(__FUNCTION__ "!", "Inner!") == 0;
    }
}
} // namespace Names

static LONG64 Sum(VOID) {
    Aligned aligned = {0x7FFFFFFFFFFi64};
    return aligned.Value + -5I64 + 10ui64;
}

extern "C" {
NTSTATUS DriverEntry(_In_ PDRIVER_OBJECT, _In_ PUNICODE_STRING) {
    Box box(3);
    KdPrint((__FUNCTION__ ": %s\n", __FUNCTION__));
    return box.Get() == 3 && Names::Inner() && Sum() == 0x80000000004 ? STATUS_SUCCESS : STATUS_UNSUCCESSFUL;
}
}
