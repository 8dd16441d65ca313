package domxml

import "testing"

// BenchmarkParse is what a list of guests costs for each of them.
func BenchmarkParse(b *testing.B) {
	doc := file(b, "odd.xml")
	b.SetBytes(int64(len(doc)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Parse(doc); err != nil {
			b.Fatal(err)
		}
	}
}
