// ask "What is a cgroup?": an answer, a stream and a batch, with the class that qdbusxml2cpp makes of the interface file.
#include <QtCore>
#include <unistd.h>
#include "router.h"

static const QString NAME = "org.cortexlinux.LLMRouter", PATH = "/org/cortexlinux/LLMRouter";

template <typename Reply> static Reply waited(Reply reply) {
    reply.waitForFinished(); // a program with a window connects a QDBusPendingCallWatcher instead
    if (reply.isError())
        qFatal("%s: %s", qPrintable(reply.error().name()), qPrintable(reply.error().message()));
    return reply;
}

int main(int argc, char **argv) {
    QCoreApplication application(argc, argv);
    QTextStream out(stdout);
    const QString prompt = argc > 1 ? QString::fromUtf8(argv[1]) : "What is a cgroup?";
    const QList<QVariantMap> messages{{{"role", "user"}, {"content", prompt}}};

    registerRouterTypes();
    Router router(NAME, PATH, QDBusConnection::systemBus());
    router.setTimeout(600000);

    auto answer = waited(router.CompleteWithOptions("user_chat", messages, {{"max_tokens", 200}}));
    out << answer.argumentAt<0>() << "\n"
        << QString::number(answer.argumentAt<1>()["cost_nano_usd"].toLongLong() / 1e9, 'f', 9) << " USD\n";

    // The reply owns its descriptor, which goes with it: this is a copy. Closing it early cancels the request.
    const int descriptor =
        dup(waited(router.OpenStream("user_chat", messages, {})).argumentAt<1>().fileDescriptor());
    QFile lines;
    if (!lines.open(descriptor, QFile::ReadOnly, QFile::AutoCloseHandle))
        qFatal("no stream");
    for (QByteArray line = lines.readLine(); !line.isEmpty(); line = lines.readLine()) {
        const QJsonObject event = QJsonDocument::fromJson(line).object();
        if (event["type"] == "error")
            qFatal("%s", qPrintable(event["message"].toString()));
        out << event["text"].toString() << Qt::flush;
    }
    out << "\n";

    auto answers = waited(router.CompleteBatch({{"user_chat", messages}, {"user_chat", messages}}, {})).value();
    for (const LLMRouterAnswer &one : answers)
        out << one.content << one.metadata["error_message"].toString() << "\n";
}
