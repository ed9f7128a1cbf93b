// The two types of the interface file that Qt has no name for: what CompleteBatch takes and gives.
#pragma once
#include <QtDBus>

struct LLMRouterRequest {
    QString taskType;
    QList<QVariantMap> messages;
};
struct LLMRouterAnswer {
    QString content;
    QVariantMap metadata;
};
using LLMRouterRequests = QList<LLMRouterRequest>;
using LLMRouterAnswers = QList<LLMRouterAnswer>;
Q_DECLARE_METATYPE(LLMRouterRequest)
Q_DECLARE_METATYPE(LLMRouterAnswer)

inline QDBusArgument &operator<<(QDBusArgument &to, const LLMRouterRequest &request) {
    to.beginStructure();
    to << request.taskType << request.messages;
    to.endStructure();
    return to;
}
inline const QDBusArgument &operator>>(const QDBusArgument &from, LLMRouterRequest &request) {
    from.beginStructure();
    from >> request.taskType >> request.messages;
    from.endStructure();
    return from;
}
inline QDBusArgument &operator<<(QDBusArgument &to, const LLMRouterAnswer &answer) {
    to.beginStructure();
    to << answer.content << answer.metadata;
    to.endStructure();
    return to;
}
inline const QDBusArgument &operator>>(const QDBusArgument &from, LLMRouterAnswer &answer) {
    from.beginStructure();
    from >> answer.content >> answer.metadata;
    from.endStructure();
    return from;
}

inline void registerRouterTypes() { // before the first call
    qDBusRegisterMetaType<QList<QVariantMap>>();
    qDBusRegisterMetaType<LLMRouterRequest>();
    qDBusRegisterMetaType<LLMRouterRequests>();
    qDBusRegisterMetaType<LLMRouterAnswer>();
    qDBusRegisterMetaType<LLMRouterAnswers>();
}
