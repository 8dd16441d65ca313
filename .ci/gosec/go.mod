module novacron/ci/gosec

go 1.26.0

require (
	github.com/securego/gosec/v2 v2.27.1
	golang.org/x/tools v0.45.0
)

require (
	github.com/ccojocar/zxcvbn-go v1.0.4 // indirect
	golang.org/x/mod v0.36.0 // indirect
	golang.org/x/sync v0.20.0 // indirect
)
