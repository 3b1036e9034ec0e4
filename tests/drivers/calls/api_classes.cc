/* api_classes.cc: classes as sample drivers write them: new with a tag, an abstract base, an owner that moves, guards.
 *
 * expect: completed
 * run: --verifier --unload
 */
#include <ntddk.h>

static constexpr ULONG Tag = 'ssaC';

void *__cdecl operator new(size_t size, POOL_TYPE type, ULONG tag) {
    return ExAllocatePoolWithTag(type, size, tag);
}
void __cdecl operator delete(void *p) {
    ExFreePoolWithTag(p, Tag);
}
void __cdecl operator delete(void *p, size_t) {
    ExFreePoolWithTag(p, Tag);
}

class Shape {
  public:
    virtual ~Shape() {
        Deleted++;
    }
    virtual int Area() const = 0;
    virtual const char *Name() const {
        return "shape";
    }
    static LONG Deleted;
};
LONG Shape::Deleted;

class Square final : public Shape {
  public:
    explicit Square(int side) : _side(side) {
    }
    int Area() const override {
        return _side * _side;
    }
    const char *Name() const override {
        return "square";
    }

  private:
    int _side;
};

class Rectangle : public Shape {
  public:
    Rectangle(int width, int height) : _width{width}, _height{height} {
    }
    int Area() const override {
        return _width * _height;
    }

  private:
    int _width, _height;
};

template <typename T> class Owner {
  public:
    explicit Owner(T *p = nullptr) : _p(p) {
    }
    Owner(Owner &&other) : _p(other._p) {
        other._p = nullptr;
    }
    Owner &operator=(Owner &&other) {
        if (this != &other) {
            Release();
            _p = other._p;
            other._p = nullptr;
        }
        return *this;
    }
    Owner(const Owner &) = delete;
    ~Owner() {
        Release();
    }
    T *operator->() const {
        return _p;
    }
    explicit operator bool() const {
        return _p != nullptr;
    }
    void Release() {
        delete _p;
        _p = nullptr;
    }

  private:
    T *_p;
};

enum class Kind : UCHAR { Square, Rectangle };

static Owner<Shape> Make(Kind kind) {
    switch (kind) {
    case Kind::Square:
        return Owner<Shape>(new (NonPagedPoolNx, Tag) Square(7));
    case Kind::Rectangle:
        return Owner<Shape>(new (PagedPool, Tag) Rectangle(3, 4));
    }
    return Owner<Shape>();
}

static void Unload(PDRIVER_OBJECT) {
    DbgPrint("%d shapes are deleted\n", Shape::Deleted);
}

extern "C" NTSTATUS DriverEntry(PDRIVER_OBJECT DriverObject, PUNICODE_STRING) {
    int sum = 0;
    DriverObject->DriverUnload = Unload;
    for (UCHAR i = 0; i < 2; i++) {
        auto shape = Make(static_cast<Kind>(i));
        if (!shape) {
            return STATUS_INSUFFICIENT_RESOURCES;
        }
        sum += shape->Area();
        auto moved = Owner<Shape>();
        moved = static_cast<Owner<Shape> &&>(shape);
        DbgPrint("%s of %d\n", moved->Name(), moved->Area());
    }
    return sum == 61 && Shape::Deleted == 2 ? STATUS_SUCCESS : STATUS_UNSUCCESSFUL;
}
